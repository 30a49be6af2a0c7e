"""The checkpoint's tokenizer in a stream: whole characters, spaces and stop strings."""

import importlib
import random
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

SENTENCEPIECE = (
    Path(__file__).parents[3] / "shared/data/tokenizers/llama2_tokenizer.json"
)
TEXTS = [
    "naïve 日本語 🙂🙂 e\u0301 \n\n  x",
    "  two spaces before",
    "Once upon a time, there was",
    "a \ufffd b",
    "👨\u200d👩\u200d👧 family",
    "def f(x):\n    return x\n",
]


def load(talker: Path, folder: Path, tokenizer: Path) -> SimpleNamespace:
    """Import the folder's vocabulary, with another tokenizer."""
    shutil.copytree(talker, folder, dirs_exist_ok=True)
    shutil.copyfile(tokenizer, folder / "artifacts" / "tokenizer.json")
    (folder / "artifacts" / "files.json").unlink()
    names = ["generation", "vocabulary", "decoder", "architecture", "artifacts"]
    sys.path.insert(0, str(folder))
    try:
        modules = [importlib.import_module(name) for name in names]
    finally:
        sys.path.remove(str(folder))
        for file in folder.glob("*.py"):
            sys.modules.pop(file.stem, None)
    return SimpleNamespace(**{k: v for m in modules[::-1] for k, v in vars(m).items()})


@pytest.fixture(params=["byte-level", "SentencePiece"])
def script(
    request: pytest.FixtureRequest, talker: Path, tmp_path: Path
) -> SimpleNamespace:
    """The vocabulary of a byte-level BPE, and of one with spaces in front of words."""
    file = talker / "artifacts" / "tokenizer.json"
    if request.param == "SentencePiece":
        file = SENTENCEPIECE
        if not file.exists():
            pytest.skip("there is no such tokenizer here")
    return load(talker, tmp_path, file)


def streamed(vocabulary: Any, tokens: list[int]) -> list[str]:
    speller = vocabulary.speller()
    return [*map(speller.feed, tokens), speller.end()]


@pytest.mark.parametrize("text", TEXTS)
def test_a_stream_spells_the_text_in_whole_characters(
    script: SimpleNamespace, text: str
) -> None:
    vocabulary = script.Vocabulary()
    tokens = vocabulary.tokenizer.encode(text, add_special_tokens=False).ids
    parts = streamed(vocabulary, tokens)
    assert "".join(parts) == text
    if "\ufffd" not in text:
        assert not any("\ufffd" in part for part in parts)


def test_any_tokens_are_some_text(script: SimpleNamespace) -> None:
    vocabulary, drawn = script.Vocabulary(), random.Random(0)
    size = vocabulary.tokenizer.get_vocab_size()
    for _ in range(300):
        tokens = [drawn.randrange(size) for _ in range(20)]
        found = "".join(streamed(vocabulary, tokens))
        known = vocabulary.tokenizer.decode(tokens)
        if "\ufffd" not in known:
            assert found == known


def test_half_a_character_at_the_end_is_marked(script: SimpleNamespace) -> None:
    vocabulary = script.Vocabulary()
    tokens = vocabulary.tokenizer.encode("ok 🙂", add_special_tokens=False).ids
    found = "".join(streamed(vocabulary, tokens[:-1]))
    assert found.rstrip("\ufffd") in ("ok ", "ok")
    assert found.endswith("\ufffd")


def test_a_completion_goes_on_where_its_prompt_ends(script: SimpleNamespace) -> None:
    vocabulary = script.Vocabulary()
    text = "Once upon a time there was a 🙂"
    tokens = vocabulary.tokenizer.encode(text, add_special_tokens=False).ids
    for cut in range(1, len(tokens)):
        before = vocabulary.decode(tokens[:cut])
        if "\ufffd" in before:
            continue
        speller = vocabulary.speller()
        speller.feed(tokens[cut - 1])
        after = "".join(map(speller.feed, tokens[cut:]))
        assert before + after == text


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        (["there w"], "Once upon a time "),
        (["e there", "never"], "Once upon a tim"),
        ([" time"], "Once upon a"),
        (["\n\n"], "Once upon a time there was 日本\nx"),
        (["本\nx\n"], "Once upon a time there was 日"),
        (["🙂"], "Once upon a time there was 日本\nx\n\n"),
    ],
)
def test_a_stop_string_may_lie_across_tokens(
    script: SimpleNamespace, stop: list[str], expected: str
) -> None:
    vocabulary = script.Vocabulary()
    text = "Once upon a time there was 日本\nx\n\n🙂."
    tokens = vocabulary.tokenizer.encode(text, add_special_tokens=False).ids
    request = SimpleNamespace(stop=stop, max_tokens=len(tokens))
    pieces = [*script.spell(tokens, vocabulary.speller(), request)]
    assert "".join(piece.text for piece in pieces) == expected
    assert pieces[-1].finish_reason == "stop"
