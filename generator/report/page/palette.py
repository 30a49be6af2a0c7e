"""Colours, light and dark: those of patterns keep apart for people who see few colours."""

import re
from collections.abc import Mapping
from pathlib import Path

LIGHT: Mapping[str, str] = {
    "paper": "#ffffff",
    "ink": "#1b1f24",
    "soft": "#5a636d",
    "grid": "#e3e6ea",
    "card": "#f5f6f8",
    "link": "#0060a0",
    "budget": "#a3005c",
    "dense": "#454c55",
    "nm": "#0067a6",
    "unstructured": "#b84a00",
    "structured": "#00734f",
}
DARK: Mapping[str, str] = {
    "paper": "#14171b",
    "ink": "#e8eaed",
    "soft": "#a3abb5",
    "grid": "#2b3138",
    "card": "#1d2127",
    "link": "#7cc4f5",
    "budget": "#ff7ab8",
    "dense": "#c3c9d1",
    "nm": "#5ab4f0",
    "unstructured": "#f2944b",
    "structured": "#35c797",
}
CHART = Path(__file__).with_name("chart.css").read_text(encoding="utf-8")


def variables() -> str:
    """Define both themes for a page: a reader's system chooses."""
    light, dark = (
        "".join(f"--{name}:{colour};" for name, colour in theme.items())
        for theme in (LIGHT, DARK)
    )
    return f":root{{{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}"


def standing_alone() -> str:
    """Write the style of a chart in a file of its own: light, and dark where that is asked for."""
    return f"{_filled(LIGHT)}@media(prefers-color-scheme:dark){{{_filled(DARK)}}}"


def _filled(theme: Mapping[str, str]) -> str:
    rules = re.sub(r"var\(--(\w+)\)", lambda found: theme[found[1]], CHART)
    return f"{rules}.paper{{fill:{theme['paper']}}}"
