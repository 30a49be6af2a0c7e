"""Pictures as PNG, where the extra `leangen[sweep]` is installed and there is a font."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from markupsafe import Markup

from leangen.generator.report.page.palette import standing_alone

PROBE = Markup(
    '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20"><style>{}</style>'
    '<text y="15">{}</text></svg>'
)
ZOOM = 2  # pixels a pixel, for sharp screens


def as_png(pictures: Mapping[str, str]) -> tuple[dict[str, bytes], str]:
    """Turn SVGs into PNGs; else say why there are none."""
    try:
        svg_to_bytes: Any = import_module("resvg_py").svg_to_bytes
    except ImportError:
        return {}, "no PNG: pip install 'leangen[sweep]' brings what draws them"
    style = Markup(standing_alone())
    letter, nothing = (
        svg_to_bytes(svg_string=PROBE.format(style, text)) for text in ("M", "")
    )
    if letter == nothing:
        return {}, "no PNG: there is no font here, as from Debian's fonts-dejavu-core"
    return {
        name: bytes(svg_to_bytes(svg_string=str(picture), zoom=ZOOM))
        for name, picture in pictures.items()
    }, ""
