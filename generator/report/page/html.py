"""A page that is one file: its style and its script inside, and a policy that allows those alone."""

import json
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from leangen.generator.report.page.palette import CHART, variables

FOLDER = Path(__file__).parent


@cache
def environment() -> Environment:
    """Make templates ready that escape whatever they are given."""
    return Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, data: Mapping[str, Any], **values: Any) -> str:
    """Render a page. data: what its script reads, in a place where nothing is run."""
    style = variables() + CHART + (FOLDER / "page.css").read_text(encoding="utf-8")
    script = (FOLDER / "page.js").read_text(encoding="utf-8")
    return (
        environment()
        .get_template(template)
        .render(
            style=Markup(style),
            style_hash=_allowed(style),
            script=Markup(script),
            script_hash=_allowed(script),
            data=inert(data),
            **values,
        )
    )


def _allowed(content: str) -> str:
    """Name a style or a script as a policy does."""
    return f"sha256-{b64encode(sha256(content.encode()).digest()).decode()}"


def inert(data: Mapping[str, Any]) -> Markup:
    """Write JSON in which nothing ends a script, or begins one."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))
