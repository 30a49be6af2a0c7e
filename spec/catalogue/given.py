"""What lies in a checkpoint's folder beside the weights: all that a review needs to see."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leangen.spec.catalogue.config_json import read_object
from leangen.spec.catalogue.entries import wrong
from leangen.spec.catalogue.models import Config
from leangen.spec.errors import LeangenError
from leangen.spec.text.source import MAX_BYTES

END = "eos_token_id"
SPECIAL = ("bos_token", "eos_token")


@dataclass(frozen=True)
class Given:
    """A folder's config.json, the tokens that end a text, and how a chat is written.

    `special` holds the texts of the tokens that a chat template may name.
    """

    config: Config
    ends: tuple[int, ...]
    chat_template: str | None
    special: Mapping[str, str]


def read_given(folder: Path) -> Given:
    """Read the small files of a Hugging Face folder; raises LeangenError."""
    config = read_object(folder / "config.json")
    tokenizer = _optional(folder / "tokenizer_config.json")
    generation = _optional(folder / "generation_config.json")
    ends = {*_ends(generation), *_ends(config)}
    return Given(
        config=config,
        ends=tuple(sorted(ends)),
        chat_template=_template(folder, tokenizer),
        special={name: _text(tokenizer.get(name)) for name in SPECIAL},
    )


def _optional(file: Path) -> Config:
    return read_object(file) if file.exists() else {}


def _ends(config: Config) -> list[int]:
    """List the tokens that end a text: there may be one, several or none."""
    found = config.get(END, [])
    tokens = found if isinstance(found, list) else [found]
    given = [token for token in tokens if token is not None]
    if any(type(token) is not int or token < 0 for token in given):
        raise wrong(f"{END} is neither a token nor a list of tokens")
    return given


def _plain(text: str) -> str:
    """Give a text that any disk and any git can keep: as Jinja reads it."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return lines.encode("utf-8", "replace").decode()


def _template(folder: Path, tokenizer: Config) -> str | None:
    """Find the chat template: a file of its own, or where older tokenizers keep it."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise LeangenError.of(f"{file} is over 1 MiB", code="config")
        return _plain(content.decode("utf-8", "replace"))
    found = tokenizer.get("chat_template")
    if isinstance(found, list):  # several by name
        named = {t.get("name"): t.get("template") for t in found if isinstance(t, dict)}
        found = named.get("default")
    return _plain(found) if isinstance(found, str) else None


def _text(token: Any) -> str:
    """Give a special token's text, '' where there is none."""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else ""
