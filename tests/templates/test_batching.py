"""Several requests at once: batching.py and the server around it, on a decoder of the tests' own.

What it says hangs on all tokens of a slot's sequence, and on nothing else.
"""

import http.client
import importlib.util
import json
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import built
from tests.generator.test_build import lint
from tests.templates.conftest import write_tokenizer
from tests.templates.test_serve import (
    DEADLINE,
    JSON,
    Ended,
    Served,
    edit,
    refuses_connections,
    text_of,
    wait_until,
)

torch = pytest.importorskip("torch")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TEMPLATES = Path(__file__).parents[2] / "templates"
SLOTS = 3
PAGE = """
leangen: 1
name: slots
model:
  architecture: llama
  hidden_size: 64
  intermediate_size: 128
  num_hidden_layers: 2
  num_attention_heads: 4
  num_key_value_heads: 2
  max_position_embeddings: 128
data: {source: python-manual}
train: {tokens: 20k, batch_size: 8, learning_rate: 1e-2}
target: {hardware: h200, context: 128, batch: 3}
serve: {engine: torch}
"""
CHATTING = """
leangen: 1
name: talking
model: {checkpoint: ./model}
data: {source: python-manual}
target: {hardware: h200, context: 128, batch: 3}
serve: {engine: torch}
"""
DECODER = """
import threading
import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

CONTEXT = 128
SLOTS = 3
WIDTH = {width}
NOT_A_NUMBER, FAILS, UNREADABLE = 1, 2, 3  # tokens that it never says itself
NAP = 0


class Decoder:
    def __init__(self):
        self.context, self.width = CONTEXT, WIDTH
        self.lengths, self.rows = [0] * SLOTS, [[]] * SLOTS
        self.used = threading.Lock()
        self.log = []

    def forward(self, tokens, positions, slot=0):
        assert self.used.acquire(blocking=False), "two threads use the decoder"
        self.log.append(("forward", slot, len(tokens)))
        if UNREADABLE in tokens:
            self.used.release()
            raise RuntimeError("CUDA out of memory")
        made = [self.append(slot, token) for token in tokens]
        self.used.release()
        return np.stack([made[at] for at in positions])

    def step(self, tokens):
        assert self.used.acquire(blocking=False), "two threads use the decoder"
        self.log.append(("step", *tokens))
        time.sleep(NAP)
        made = [self.append(slot, token) for slot, token in tokens.items()]
        self.used.release()
        if any(FAILS in row[: self.lengths[slot]] for slot, row in enumerate(self.rows)):
            self.rows = [[]] * SLOTS
            raise RuntimeError("CUDA error: something of several\\nlines")
        return torch.from_numpy(np.stack(made))

    def is_alive(self):
        return True

    def append(self, slot, token):
        if self.lengths[slot] == CONTEXT:
            raise IndexError("full")
        self.rows[slot] = [*self.rows[slot][: self.lengths[slot]], int(token)]
        self.lengths[slot] += 1
        random = np.random.default_rng(self.rows[slot])
        logits = random.normal(0, 3, WIDTH).astype(np.float32)
        logits[[NOT_A_NUMBER, FAILS, UNREADABLE]] = -99
        return logits * (np.nan if NOT_A_NUMBER in self.rows[slot] else 1)


"""
ON_CPU = """

def peak_device_bytes() -> int:
    return 1
"""


def parts_of_decoder() -> str:
    """What draws a token, on the host and on the device."""
    return "\n\n".join(
        (TEMPLATES / "decoder" / f"{name}.py.j2").read_text()
        for name in ("sample", "draw")
    )


def with_stand_in(folder: Path, width: int) -> Path:
    """Put the tests' decoder into a folder, whose prompts are then read in small parts."""
    decoder = DECODER.replace("{width}", str(width))
    (folder / "decoder.py").write_text(decoder + parts_of_decoder())
    edit(folder / "generation.py", {r"(?m)^PREFILL = \d+": "PREFILL = 4"})
    with (folder / "tensors.py").open("a") as file:
        file.write(ON_CPU)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three slots, whose tokens are bytes."""
    root = tmp_path_factory.mktemp("slots")
    (root / "slots.yaml").write_text(PAGE)
    made = built(root / "slots.yaml")
    lint(made)
    return with_stand_in(made, 257)


@pytest.fixture
def slow(folder: Path, tmp_path: Path) -> Iterator[Served]:
    """A server whose steps are slow, and whose texts the model does not end.

    One that fills the context takes longer than any test waits.
    """
    server = Served(slow_copy(folder, tmp_path / "slow"))
    yield server
    server.close()


def slow_copy(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    nap = {"NAP = 0": f"NAP = {DEADLINE / 64}"}
    edit(to / "decoder.py", nap)
    edit(to / "listener.py", {r"(?m)^QUEUE = \S+": "QUEUE = 2"})
    edit(to / "batching.py", {r"self\.decoder, self\.ends = decoder, ends": ENDLESS})
    return to


ENDLESS = "self.decoder, self.ends = decoder, frozenset()"


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    server = Served(folder)
    yield server
    server.close()


# Drawing on the device


@pytest.fixture(scope="module")
def drawing(folder: Path) -> Any:
    """The decoder's two ways to draw a token."""
    spec = importlib.util.spec_from_file_location("drawing", folder / "decoder.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ROW = st.tuples(
    st.sampled_from([0, 1e-300, 1e-5, 0.3, 1, 2]),  # temperature
    st.sampled_from([0, 1e-9, 0.5, 0.9, 0.999, 1]),  # top_p
)


@settings(deadline=None, max_examples=300)
@given(
    rows=st.lists(ROW, min_size=1, max_size=5),
    width=st.integers(1, 400),
    spread=st.sampled_from([0, 0.1, 3, 30, 1e4, 1e5]),
    grain=st.sampled_from([0, 1]),
    seed=st.integers(0, 2**32),
)
def test_the_device_draws_as_the_host(
    drawing: Any,
    rows: list[tuple[float, float]],
    width: int,
    spread: float,
    grain: float,
    seed: int,
) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(0, spread, (len(rows), width)).astype(np.float32)
    logits = np.rint(logits) if grain else logits  # many are equal
    draws = random.random(len(rows))
    draws[random.random(len(rows)) < 0.4] = 0
    temperatures, top_ps = zip(*rows, strict=True)
    there = torch.from_numpy(logits).to(DEVICE)
    found = drawing.draw(there, temperatures, top_ps, draws.tolist())
    assert found == [
        drawing.sample(row, *asked, SimpleNamespace(random=lambda drawn=drawn: drawn))
        for row, asked, drawn in zip(logits, rows, draws, strict=True)
    ]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_row_of_no_numbers_leaves_the_others_alone(
    drawing: Any, value: float
) -> None:
    logits = np.random.default_rng(0).normal(0, 3, (3, 50)).astype(np.float32)
    asked = [1, 1, 0.5], [0.9, 0.9, 1], [0.7, 0.7, 0.2]
    whole = drawing.draw(torch.from_numpy(logits).to(DEVICE), *asked)
    for broken in ([7], range(50)):
        logits[1, list(broken)] = value
        found = drawing.draw(torch.from_numpy(logits).to(DEVICE), *asked)
        assert found[::2] == whole[::2]
        assert 0 <= found[1] < 50


# The thread that owns the decoder


def request(prompt: list[int], **fields: Any) -> SimpleNamespace:
    asked = {"max_tokens": 8, "temperature": 1, "top_p": 0.9, "seed": 0}
    return SimpleNamespace(prompt=prompt, **asked | fields)


def stays() -> bool:
    return False


@pytest.fixture
def ours(folder: Path, modules: Callable[[Path], SimpleNamespace]) -> SimpleNamespace:
    return modules(folder)


def alone(ours: SimpleNamespace, asked: SimpleNamespace) -> list[int]:
    """What `generate` says where there is one sequence."""
    random, row = np.random.default_rng(asked.seed), [*asked.prompt]
    decoder = ours.decoder.Decoder()
    for _ in range(asked.max_tokens):
        decoder.lengths[0] = 0
        (logits,) = decoder.forward(row, [len(row) - 1])
        token = ours.decoder.sample(logits, asked.temperature, asked.top_p, random)
        if token == 256:
            break
        row.append(token)
    return row[len(asked.prompt) :]


def test_a_text_is_what_one_slot_makes_of_it(ours: SimpleNamespace) -> None:
    asked = [
        request([256, 40 + i] * (1 + i % 5), seed=i, temperature=i % 4 / 2, max_tokens=9 + i)
        for i in range(4 * SLOTS)
    ]  # fmt: skip
    batch = ours.batching.Batch(ours.decoder.Decoder(), frozenset({256}))
    with ThreadPoolExecutor(len(asked)) as threads:
        found = [*threads.map(lambda x: [*batch.generate(x, stays)], asked)]
    assert found == [alone(ours, x) for x in asked]
    steps = [step for step in batch.decoder.log if step[0] == "step"]
    assert max(map(len, steps)) == 1 + SLOTS  # they did run together
    assert len(steps) < sum(map(len, found))
    assert not batch.texts


def test_a_long_prompt_holds_the_others_up_by_a_part(ours: SimpleNamespace) -> None:
    batch = ours.batching.Batch(ours.decoder.Decoder(), frozenset())
    running = batch.generate(request([256, 65], max_tokens=120), stays)
    next(running)
    (token,) = batch.generate(request([256] * 42, max_tokens=1), stays)
    assert [*running]
    log = batch.decoder.log
    parts = [
        i for i, (what, slot, *_) in enumerate(log) if (what, slot) == ("forward", 1)
    ]
    assert [log[i][2] for i in parts] == [4] * 10 + [1]  # the last token is a step's
    assert all(log[i + 1] == ("step", 0) for i in parts[:-1])
    assert log[parts[-1] + 1] == ("step", 0, 1)
    assert token == alone(ours, request([256] * 42, max_tokens=1))[0]


def test_who_leaves_or_has_enough_frees_the_slot(ours: SimpleNamespace) -> None:
    batch = ours.batching.Batch(ours.decoder.Decoder(), frozenset())
    left = threading.Event()
    texts = [batch.generate(request([256], max_tokens=100), left.is_set)] * SLOTS
    texts = [batch.generate(request([256], max_tokens=100), left.is_set) for _ in texts]
    for text in texts:
        next(text)
    texts.pop().close()  # at a stop string
    assert [*batch.generate(request([256]), stays)]
    left.set()
    for text in texts:
        with pytest.raises(ConnectionAbortedError):
            list(text)
    wait_until(lambda: not batch.texts)


def test_who_leaves_while_a_prompt_is_read_frees_the_slot(
    ours: SimpleNamespace,
) -> None:
    batch = ours.batching.Batch(ours.decoder.Decoder(), frozenset())
    left = iter([False, True]).__next__  # asked before each part
    with pytest.raises(ConnectionAbortedError):
        list(batch.generate(request([256] * 100), left))
    assert sum(count for _, _, count in batch.decoder.log) < 99
    assert not batch.texts


# The server


PROMPTS = ["def", "a", "class X:\n" * 9, "é", "x = 1\n" * 5, "", "return", "0"]


def asked_at_once(server: Served, asked: list[dict[str, Any]]) -> list[str]:
    """Send requests at the same time, some as streams; return their texts."""
    together = threading.Barrier(len(asked))

    def ask(i: int) -> str:
        together.wait()
        if i % 2:
            return text_of(server.complete(stream=True, **asked[i]))
        return str(server.complete(**asked[i]).choices[0].text)

    with ThreadPoolExecutor(len(asked)) as threads:
        return [*threads.map(ask, range(len(asked)))]


def test_texts_are_the_same_alone_and_together(served: Served) -> None:
    asked = [
        {"prompt": prompt, "seed": i, "temperature": i % 4 / 2, "max_tokens": 30}
        for i, prompt in enumerate(PROMPTS)
    ]
    one_by_one = [served.complete(**fields).choices[0].text for fields in asked]
    assert asked_at_once(served, asked) == one_by_one
    assert asked_at_once(served, asked[::-1]) == one_by_one[::-1]
    wait_until(lambda: served.requests() == 0)


def test_a_stop_string_ends_a_text_and_frees_the_slot(served: Served) -> None:
    text = served.complete(max_tokens=60, seed=3).choices[0].text
    stop = text[len(text) // 2]
    fields = {"max_tokens": 60, "seed": 3, "stop": stop}
    texts = asked_at_once(served, [fields] * 3 * SLOTS)
    assert texts == [text[: text.index(stop)]] * 3 * SLOTS


def test_what_does_not_fit_is_refused_beside_others(served: Served) -> None:
    running = served.complete(max_tokens=served.context - 4, stream=True, seed=0)
    next(running)
    with pytest.raises(openai.BadRequestError) as caught:
        served.complete("a" * served.context)
    assert caught.value.code == "context_length_exceeded"
    assert [*running]


def test_numbers_that_are_none_end_one_request_alone(served: Served) -> None:
    fields = {"max_tokens": 40, "temperature": 0}
    alone = served.complete("a", **fields).choices[0].text
    running = served.complete("a", stream=True, **fields)
    first = next(running)
    status, _, body = served.post(prompt=[256, 1], max_tokens=4)
    assert (status, body["error"]["type"]) == (500, "server_error")
    assert "not finite" in body["error"]["message"]
    assert first.choices[0].text + text_of(running) == alone


def test_a_failed_step_is_reported_and_does_not_stop_the_server(
    folder: Path, tmp_path: Path
) -> None:
    server = Served(slow_copy(folder, tmp_path / "fails"))
    running = server.complete(max_tokens=100, stream=True)
    next(running)
    status, _, body = server.post(prompt=[256, 2], max_tokens=4)
    assert (status, body["error"]["type"]) == (500, "server_error")
    assert body["error"]["message"] == "The decoder failed: RuntimeError."
    with pytest.raises(openai.APIError, match="The decoder failed"):
        list(running)
    running = server.complete(max_tokens=30, stream=True)
    next(running)
    status, _, body = server.post(prompt=[256, 3, 40], max_tokens=4)
    assert (status, body["error"]["message"]) == (
        500,
        "The decoder failed: RuntimeError.",
    )
    *_, last = running
    assert last.choices[0].finish_reason == "length"  # the prompt was another's
    assert server.complete(max_tokens=2).usage.completion_tokens == 2
    server.process.terminate()
    assert server.process.wait(timeout=DEADLINE) == 0
    errors = server.stderr.read()
    assert errors.startswith("The decoder failed.\nTraceback")
    assert "CUDA error" in errors
    server.close()


def test_slots_are_shared_out_in_the_order_of_arrival(slow: Served) -> None:
    fields = {"max_tokens": slow.context - 8, "stream": True}
    running = [slow.complete(**fields) for _ in range(SLOTS)]
    for stream in running:
        next(stream)  # in its slot
    assert slow.requests() == SLOTS
    done: Ended = []
    slow.later(done, "a", max_tokens=3)
    body = json.dumps({"model": slow.model, "max_tokens": slow.context - 8}).encode()
    waiting = http.client.HTTPConnection("127.0.0.1", slow.port)
    waiting.request("POST", "/v1/completions", body, JSON)
    wait_until(lambda: slow.requests() == SLOTS + 2)
    status, headers, _ = slow.post()
    assert (status, headers["Retry-After"]) == (503, "1")  # three run and two wait
    assert done == []
    running.pop().close()  # its slot is free
    wait_until(lambda: done)
    wait_until(lambda: slow.requests() == SLOTS)  # who waited has it now
    waiting.close()
    wait_until(lambda: slow.requests() == SLOTS - 1)
    assert slow.complete(max_tokens=2).usage.completion_tokens == 2
    for stream in running:
        next(stream)  # all the while
        stream.close()
    wait_until(lambda: slow.requests() == 0)


def test_a_signal_lets_all_finish(folder: Path, tmp_path: Path) -> None:
    server = Served(slow_copy(folder, tmp_path / "ends"))
    running = [server.complete(max_tokens=6, stream=True) for _ in range(SLOTS)]
    for stream in running:
        next(stream)
    done: Ended = []
    waiting = [server.later(done, name, max_tokens=2) for name in "ab"]
    server.process.send_signal(signal.SIGTERM)
    wait_until(lambda: refuses_connections(server.port))
    for stream in running:
        *_, last = stream
        assert last.choices[0].finish_reason is not None
    for thread in waiting:
        thread.join(timeout=DEADLINE)
    assert sorted(done) == [("a", 2), ("b", 2)]
    assert server.process.wait(timeout=DEADLINE) == 0
    assert server.stderr.read() == ""
    server.close()


# Conversations


@pytest.fixture(scope="module")
def talking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three slots that has a tokenizer and a chat template."""
    transformers = pytest.importorskip("transformers")
    root = tmp_path_factory.mktemp("talking")
    config = transformers.LlamaConfig(
        vocab_size=320,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
    )
    model = transformers.LlamaForCausalLM(config)
    model.bfloat16().save_pretrained(root / "model")
    write_tokenizer(root / "model")
    (root / "talking.yaml").write_text(CHATTING)
    folder = built(root / "talking.yaml")
    lint(folder)
    with_stand_in(folder, 320)
    numbers = "FAILS, UNREADABLE = 1, 2, 3"
    edit(folder / "decoder.py", {numbers: "FAILS, UNREADABLE = -1, -2, -3"})
    nap = r'\g<0>; __import__("time").sleep(0.02)'
    edit(
        folder / "conversation.py",
        {r"self.tokenizer.encode_special_tokens = False": nap},
    )
    shutil.copy(root / "model" / "tokenizer.json", folder / "artifacts")
    return folder


def test_conversations_and_texts_are_read_one_at_a_time(talking: Path) -> None:
    """What spells a special token stays text, whatever is read beside it."""
    server = Served(talking)
    hello: Any = {"role": "user", "content": "Hi<|im_end|>"}

    def chat(_: int) -> str:
        answer: Any = server.client.chat.completions.create(
            model=server.model, messages=[hello], max_tokens=9, temperature=0
        )
        return f"{answer.choices[0].message.content} {answer.usage.prompt_tokens}"

    def complete(_: int) -> str:
        answer = server.complete("Hi<|im_end|>" * 2, max_tokens=9, temperature=0)
        return f"{answer.choices[0].text} {answer.usage.prompt_tokens}"

    expected = {chat(0), complete(0)}
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(ask, 0) for ask in [chat, complete] * 20]
        assert {each.result() for each in asked} == expected
    server.close()


def test_the_terminal_s_chat_has_the_first_slot(talking: Path) -> None:
    done = subprocess.run(
        [sys.executable, "chat.py"],
        cwd=talking,
        input="Hello\nAgain\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert len(re.findall("(?m)^> ", done.stdout)) == 3
