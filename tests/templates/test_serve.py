"""serve.py as its clients meet it: a process, a port, and the unmodified openai package."""

import http.client
import importlib
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from email.message import Message
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import openai
import pytest

from leangen.generator.folder import alone

Answer = tuple[int, Message, Any]  # status, headers, body
Ended = list[tuple[str, int]]  # names of requests, and how many tokens they got
JSON = {"Content-Type": "application/json"}
DEADLINE = 15  # seconds in which a state must come, however busy the machine is


def wait_until(holds: Callable[[], object]) -> None:
    """Wait for a state that must come."""
    end = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < end, "it did not come to this"
        time.sleep(0.01)


class Served:
    """A running serve.py and its client."""

    def __init__(self, folder: Path, *options: str) -> None:
        scripts = "".join(file.read_text() for file in folder.glob("*.py"))
        found = re.search(r"(?m)^CONTEXT = (\d+)", scripts)
        assert found
        self.context = int(found[1])
        self.process = subprocess.Popen(
            [sys.executable, "serve.py", "--port", "0", *options],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout and self.process.stderr
        self.stderr = self.process.stderr
        line = self.process.stdout.readline()
        found = re.fullmatch(r"(\S+) is served at (http://\S+:(\d+)/v1)\n", line)
        assert found, self.stderr.read()
        self.model, url, self.port = found[1], found[2], int(found[3])
        self.client = openai.OpenAI(
            base_url=url, api_key="-", max_retries=0, timeout=60
        )

    def complete(self, prompt: Any = "def", **fields: Any) -> Any:
        """Ask as the openai package does."""
        return self.client.completions.create(model=self.model, prompt=prompt, **fields)

    def send(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> Answer:
        """Return the status, the headers and the parsed body of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = JSON | headers
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, answer.headers, json.loads(text) if text else None

    def post(self, **fields: Any) -> Answer:
        """Ask for a completion with fields that the openai package would not send."""
        body = json.dumps({"model": self.model} | fields).encode()
        return self.send("POST", "/v1/completions", body)

    def requests(self) -> int:
        """Count the requests that run or wait."""
        return int(self.send("GET", "/health")[2]["requests"])

    def later(self, done: Ended, name: str, **fields: Any) -> threading.Thread:
        """Send a request, wait until it has its place, and let it append its name when done."""

        def run() -> None:
            answer = self.complete(**fields)
            done.append((name, answer.usage.completion_tokens))

        before = self.requests()
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        wait_until(lambda: self.requests() > before)
        return thread

    def connect(self) -> socket.socket:
        """Open a connection, to send what no HTTP client would."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # as small as can be
        client.settimeout(DEADLINE)
        client.connect(("127.0.0.1", self.port))
        return client

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def copy(pipeline: Path, folder: Path) -> Path:
    """Copy what serves."""
    others = shutil.ignore_patterns("dense*", "sparse*", "recovered*", "data", "__*")
    shutil.copytree(pipeline, folder, ignore=others, dirs_exist_ok=True)
    return folder


def edit(file: Path, changes: dict[str, str]) -> None:
    script = file.read_text()
    for pattern, replacement in changes.items():
        script, count = re.subn(pattern, replacement, script)
        assert count == 1, pattern
    file.write_text(script)


def slow_copy(pipeline: Path, folder: Path) -> Path:
    """Copy a server that lets 4 wait, and whose texts, never ended by the model, are slow.

    One that fills the context takes longer than any test waits: only dropping it helps.
    """
    copy(pipeline, folder)
    edit(folder / "listener.py", {r"(?m)^QUEUE = \S+": "QUEUE = 4"})
    edit(folder / "generation.py", {r"token in ends": "False"})
    nap = rf"\1import time; time.sleep({1.5 * DEADLINE} / self.context)\n\1"
    edit(folder / "decoder.py", {r"(?m)^( +)(?=self\.session\.run)": nap})
    return folder


def load(folder: Path) -> SimpleNamespace:
    """Import what the server consists of."""
    names = ["api", "protocol", "generation", "decoder", "vocabulary", "artifacts"]
    sys.path.insert(0, str(folder))
    try:
        modules = [importlib.import_module(name) for name in names]
    finally:
        sys.path.remove(str(folder))
        for name in names:
            sys.modules.pop(name, None)
    return SimpleNamespace(**{k: v for m in modules[::-1] for k, v in vars(m).items()})


@pytest.fixture(scope="module")
def served(
    pipeline: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    server = Served(copy(pipeline, tmp_path_factory.mktemp("served")))
    yield server
    server.close()


@pytest.fixture(scope="module")
def slow(pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served(slow_copy(pipeline, tmp_path_factory.mktemp("slow")))
    yield server
    server.close()


@pytest.fixture(scope="module")
def bpe(
    bpe_pipeline: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    server = Served(copy(bpe_pipeline, tmp_path_factory.mktemp("bpe")))
    yield server
    server.close()


@pytest.fixture(scope="module")
def script(pipeline: Path) -> SimpleNamespace:
    """The functions and classes of the server."""
    return load(pipeline)


def text_of(stream: Iterable[Any]) -> str:
    return "".join(choice.text for chunk in stream for choice in chunk.choices)


# What a client gets


def test_completes(served: Served) -> None:
    answer = served.complete("def é", max_tokens=7, seed=1)
    assert answer.object == "text_completion"
    assert answer.id.startswith("cmpl-")
    assert answer.model == served.model
    assert len(answer.choices) == 1
    assert answer.usage.prompt_tokens == 1 + len("def é".encode())  # and a separator
    whole = answer.usage.completion_tokens == 7
    assert answer.choices[0].finish_reason == ("length" if whole else "stop")
    counts = answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.total_tokens == counts


def test_has_the_defaults_of_openai(served: Served) -> None:
    answer = served.complete(user="someone", n=1, echo=False, frequency_penalty=0.0)
    assert answer.usage.completion_tokens <= 16
    nulls = dict.fromkeys(
        ["prompt", "max_tokens", "temperature", "stop", "seed", "logprobs"]
    )
    assert served.post(**nulls)[0] == 200


@pytest.mark.parametrize(
    "sampling", [{"temperature": 0}, {"seed": 3, "temperature": 2}]
)
def test_a_stream_is_the_same_text(served: Served, sampling: dict[str, Any]) -> None:
    whole = served.complete(max_tokens=48, **sampling)
    chunks = [*served.complete(max_tokens=48, stream=True, **sampling)]
    assert text_of(chunks) == whole.choices[0].text
    reasons = [chunk.choices[0].finish_reason for chunk in chunks]
    assert reasons == [None] * (len(chunks) - 1) + [whole.choices[0].finish_reason]
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert all(chunk.usage is None for chunk in chunks)


def test_a_stream_ends_with_its_usage(served: Served) -> None:
    options = {"include_usage": True}
    *chunks, last = served.complete(
        max_tokens=5, temperature=0, stream=True, stream_options=options
    )
    assert last.choices == []
    assert last.usage == served.complete(max_tokens=5, temperature=0).usage
    assert all(chunk.usage is None for chunk in chunks)


def test_the_seed_decides_the_text(served: Served) -> None:
    def text(seed: int) -> str:
        fields = {"seed": seed, "temperature": 2, "top_p": 0.99, "max_tokens": 48}
        return str(served.complete(**fields).choices[0].text)

    assert text(-5) == text(-5)
    assert len({text(seed) for seed in range(4)}) > 1


def test_top_p_0_and_temperature_0_are_greedy(served: Served) -> None:
    greedy = served.complete(temperature=0, max_tokens=40).choices[0].text
    for fields in (
        {"temperature": 0},
        {"temperature": 1e-300},
        {"top_p": 0, "temperature": 2},
    ):
        assert served.complete(max_tokens=40, **fields).choices[0].text == greedy


def test_stops_before_a_stop_string(served: Served) -> None:
    fields = {"temperature": 1.5, "seed": 11, "max_tokens": 48}
    text = served.complete(**fields).choices[0].text
    stop = text[len(text) // 2 :][:4]  # several tokens
    expected = text[: text.index(stop)]
    answer = served.complete(stop=["never to be seen", stop], **fields)
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == (
        expected,
        "stop",
    )
    assert answer.usage.completion_tokens < 48
    assert text_of(served.complete(stop=stop, stream=True, **fields)) == expected


def test_takes_tokens_for_text(served: Served) -> None:
    fields = {"temperature": 0, "max_tokens": 8}
    expected = served.complete("abc", **fields)
    for prompt in ([256, *b"abc"], [[256, *b"abc"]], ["abc"]):
        answer = served.complete(prompt, **fields)
        assert answer.choices[0].text == expected.choices[0].text
        assert answer.usage == expected.usage


def test_names_its_model(served: Served) -> None:
    assert [model.id for model in served.client.models.list()] == [served.model]
    assert served.client.models.retrieve(served.model).owned_by == "leangen"
    with pytest.raises(openai.NotFoundError):
        served.client.models.retrieve("another")
    assert served.send("GET", "/health")[2]["status"] == "ok"


# What a client may not ask for


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": 7}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [[1], [2]]}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": [10**6, 1]}, "prompt"),
        ({"prompt": {"text": "a"}}, "prompt"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": "1"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": 1.1}, "top_p"),
        ({"seed": 1.5}, "seed"),
        ({"seed": False}, "seed"),
        ({"stop": ""}, "stop"),
        ({"stop": [1]}, "stop"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stream": 1}, "stream"),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"n": 2}, "n"),
        ({"n": True}, "n"),
        ({"best_of": 3}, "best_of"),
        ({"echo": True}, "echo"),
        ({"logprobs": 0}, "logprobs"),
        ({"suffix": "x"}, "suffix"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"messages": []}, "messages"),
        ({"model": None}, "model"),
        ({"model": 3}, "model"),
    ],
    ids=str,
)
def test_refuses_a_wrong_field(
    served: Served, fields: dict[str, Any], param: str
) -> None:
    status, _, body = served.post(**fields)
    error = body["error"]
    assert (status, error["type"], error["param"]) == (
        400,
        "invalid_request_error",
        param,
    )
    assert f"'{param}'" in error["message"]


def test_refuses_another_model(served: Served) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        served.client.completions.create(model="another", prompt="a")
    assert caught.value.code == "model_not_found"


def test_refuses_what_exceeds_the_context(served: Served) -> None:
    assert served.post(prompt="a" * (served.context - 2), max_tokens=1)[0] == 200
    with pytest.raises(openai.BadRequestError) as caught:
        served.complete("a" * (served.context - 2), max_tokens=2)
    assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b'{"temperature": NaN}',
        b'{"temperature": -Infinity}',
        b'{"temperature": 1e999}',
        b'{"prompt": "\\ud800"}',
        b'{"max_tokens": ' + b"9" * 5000 + b"}",
        b"[" * 5_000,
    ],
    ids=lambda body: repr(body[:24]),
)
def test_refuses_a_broken_body(served: Served, body: bytes) -> None:
    status, headers, answer = served.send("POST", "/v1/completions", body)
    assert status == 400
    assert headers["Content-Type"] == "application/json"
    assert answer["error"].keys() == {"message", "type", "param", "code"}
    assert "Traceback" not in answer["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "expected", "allowed"),
    [
        ("GET", "/", 404, None),
        ("POST", "/v1/chat/completions", 404, None),
        ("GET", "/v1/models/a%20b%ff", 404, None),
        ("GET", "/v1/completions", 405, "POST"),
        ("PUT", "/v1/completions", 405, "POST"),
        ("POST", "/v1/models", 405, "GET"),
        ("DELETE", "/health", 405, "GET"),
        ("HEAD", "/health", 405, "GET"),
    ],
)
def test_knows_its_addresses(
    served: Served, method: str, path: str, expected: int, allowed: str | None
) -> None:
    status, headers, body = served.send(method, path)
    assert (status, headers["Allow"]) == (expected, allowed)
    assert method == "HEAD" or body["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST /v1/completions HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n{", 413),
        (b"POST /v1/completions HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nno header\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nX: " + b"x" * 300_000 + b"\r\n\r\n", 431),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\n" + b"x" * 4000 + b"\n\r\n\r\n", 400),
    ],
    ids=[
        "body too large",
        "negative length",
        "no header",
        "TLS",
        "header too large",
        "coding",
        "two lengths",
        "bare LF",
    ],
)
def test_answers_broken_http_in_json(
    served: Served, request_bytes: bytes, status: int
) -> None:
    with served.connect() as client:
        client.sendall(request_bytes)
        answer = http.client.HTTPResponse(client)
        answer.begin()
        body = answer.read()
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/json"
    error = json.loads(body)["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert len(error["message"]) < 100
    assert b"Traceback" not in body


def test_a_large_body_gets_its_413(served: Served) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        served.complete("a" * 5_000_000)
    assert caught.value.status_code == 413


def test_takes_the_longest_spelling_of_a_full_context(served: Served) -> None:
    text = "\x01" * (served.context - 2)  # six characters each, in JSON
    assert served.post(prompt=text, max_tokens=1)[0] == 200
    fields = {"model": served.model, "prompt": [1] * (served.context - 1)}
    body = json.dumps(fields | {"max_tokens": 1}, indent=8).encode()
    assert served.send("POST", "/v1/completions", body)[0] == 200


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded"]
)
def test_takes_json_alone(served: Served, kind: str) -> None:
    body = json.dumps({"model": served.model}).encode()
    answer = served.send("POST", "/v1/completions", body, **{"Content-Type": kind})
    assert (answer[0], answer[2]["error"]["type"]) == (415, "invalid_request_error")
    kind = "Application/JSON; charset=utf-8"
    answer = served.send("POST", "/v1/completions", body, **{"Content-Type": kind})
    assert answer[0] == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8000", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8000", 200),
        ("example.com", 403),
        ("localhost.example.com:8000", 403),
        ("127.0.0.1.example.com", 403),
        ("x" * 4000, 403),
    ],
)
def test_goes_by_names_of_this_machine(served: Served, host: str, status: int) -> None:
    answer = served.send("GET", "/health", Host=host)
    assert answer[0] == status
    assert status == 200 or len(answer[2]["error"]["message"]) < 100


def test_goes_by_any_name_where_others_may_reach_it(pipeline: Path) -> None:
    server = Served(pipeline, "--host", "0.0.0.0")
    assert server.send("GET", "/health", Host="example.com")[0] == 200
    server.close()


def test_cuts_what_it_repeats(served: Served) -> None:
    long = "x" * 3000
    answers = [
        served.post(**{long: 1}),
        served.post(model=long),
        served.post(model="x" * 200),
        served.post(user=long),
        served.post(stop=[long]),
        served.send("GET", f"/{long}"),
        served.send(long.upper(), "/health"),
    ]
    for status, _, body in answers:
        assert status in (400, 404, 405)
        assert len(json.dumps(body)) < 250


def test_bodies_of_any_size_take_no_memory(served: Served) -> None:
    status = Path(f"/proc/{served.process.pid}/status")
    if not status.exists():
        pytest.skip("there is no /proc")

    def peak() -> int:
        found = re.search(r"VmHWM:\s+(\d+)", status.read_text())
        assert found
        return int(found[1]) * 2**10

    def send() -> None:
        with suppress(OSError):  # it does not listen to the end
            served.send("POST", "/v1/completions", body)

    before, body = peak(), b'{"prompt": [' + b"1," * 1_850_000 + b"1]}"
    threads = [threading.Thread(target=send) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert peak() - before < 8 * 2**20


# Many clients


MANY = b"GET /v1/models HTTP/1.1\r\n\r\n" * 100  # more answers than buffers hold


def without_buffers(folder: Path) -> None:
    """Let the system hold no more of an answer than it must."""
    small = "port.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)"
    edit(folder / "serve.py", {r"port = listen\(\)": rf"port = listen()\n    {small}"})


@pytest.mark.parametrize(
    "sent", [b"GET /", MANY], ids=["half a request", "not reading"]
)
def test_idlers_shut_nobody_out(pipeline: Path, tmp_path: Path, sent: bytes) -> None:
    without_buffers(copy(pipeline, tmp_path))
    changes = {r"CONNECTIONS = \S+": "CONNECTIONS = 9", "SCARCE = 2": "SCARCE = 0.2"}
    edit(tmp_path / "listener.py", changes)
    server = Served(tmp_path)
    idlers = [server.connect() for _ in range(15)]
    for idler in idlers:
        idler.sendall(sent)
    done: list[int] = []
    ask = threading.Thread(target=lambda: done.append(server.requests()), daemon=True)
    ask.start()

    def dripped() -> list[int]:
        for idler in idlers:
            with suppress(OSError):
                idler.sendall(b"x")
        return done

    wait_until(dripped)
    server.close()


def test_serves_in_the_order_of_arrival_and_drops_who_leaves(slow: Served) -> None:
    running = slow.complete(max_tokens=slow.context - 8, temperature=0, stream=True)
    next(running)
    body = json.dumps({"model": slow.model, "max_tokens": slow.context - 8}).encode()
    waiting = http.client.HTTPConnection("127.0.0.1", slow.port)
    waiting.request("POST", "/v1/completions", body, JSON)
    wait_until(lambda: slow.requests() == 2)

    done: Ended = []
    lengths = {"a": 3, "b": 2, "c": 1}  # out of turn, c would be the first
    for name, length in lengths.items():
        slow.later(done, name, max_tokens=length)
    assert slow.send("GET", "/v1/models")[0] == 200  # answered while others wait
    status, headers, answer = slow.post()
    assert (status, headers["Retry-After"]) == (503, "1")  # one runs and four wait
    assert answer["error"]["type"] == "server_error"
    assert done == []

    waiting.close()  # in the queue
    wait_until(lambda: slow.requests() == 4)
    running.close()  # in the middle of its text
    wait_until(lambda: len(done) == 3)
    assert done == [*lengths.items()]
    wait_until(lambda: slow.requests() == 0)


def test_drops_a_client_that_waits_for_the_whole_text(slow: Served) -> None:
    body = json.dumps({"model": slow.model, "max_tokens": slow.context - 8}).encode()
    client = http.client.HTTPConnection("127.0.0.1", slow.port)
    client.request("POST", "/v1/completions", body, JSON)
    wait_until(lambda: slow.requests() == 1)
    client.close()
    wait_until(lambda: slow.requests() == 0)


# The process


def refuses_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionError:  # refused, or reset in the act of closing
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_it_finish(pipeline: Path, tmp_path: Path, number: int) -> None:
    server = Served(slow_copy(pipeline, tmp_path))
    stream = server.complete(max_tokens=6, temperature=0, stream=True)
    first = next(stream)
    done: Ended = []
    waiting = server.later(done, "a", max_tokens=1)
    server.process.send_signal(number)
    wait_until(lambda: refuses_connections(server.port))
    *_, last = stream
    waiting.join(timeout=DEADLINE)
    assert first.choices[0].finish_reason is None
    assert last.choices[0].finish_reason is not None
    assert [name for name, _ in done] == ["a"]
    assert server.process.wait(timeout=DEADLINE) == 0
    assert server.stderr.read() == ""


def test_a_reader_that_does_not_read_does_not_keep_it(
    pipeline: Path, tmp_path: Path
) -> None:
    without_buffers(copy(pipeline, tmp_path))
    edit(tmp_path / "listener.py", {"DRAIN = 10": "DRAIN = 0.5"})
    server = Served(tmp_path)
    with server.connect() as client:
        client.sendall(MANY)
        assert client.recv(1)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=DEADLINE) == 0


def test_runs_beside_a_script_and_leaves_the_ledger_to_it(
    pipeline: Path, tmp_path: Path
) -> None:
    folder = copy(pipeline, tmp_path)
    ledger = folder / "artifacts" / "ledger.json"
    before = ledger.read_text()
    with alone(folder):
        server = Served(folder)
        assert server.complete(max_tokens=1).usage.completion_tokens <= 1
        server.process.terminate()
        out, errors = server.process.communicate()
    assert (server.process.returncode, errors) == (0, "")
    assert out.startswith("took ")
    assert ledger.read_text() == before
    server = Served(folder)
    server.process.terminate()
    server.process.communicate()
    assert set(json.loads(ledger.read_text())) == {*json.loads(before), "serve"}


def test_a_second_signal_ends_it_at_once(pipeline: Path, tmp_path: Path) -> None:
    server = Served(slow_copy(pipeline, tmp_path))
    stream = server.complete(max_tokens=server.context - 8, temperature=0, stream=True)
    next(stream)
    server.process.send_signal(signal.SIGTERM)
    wait_until(lambda: refuses_connections(server.port))
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(timeout=DEADLINE) == -signal.SIGTERM
    server.close()


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "serve.py", *options]
    return subprocess.run(
        command, check=False, cwd=folder, capture_output=True, text=True, timeout=60
    )


def test_a_port_in_use_is_one_line(pipeline: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run(pipeline, "--port", str(port))
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "Address already in use" in ended.stderr
    assert str(port) in ended.stderr


def test_a_missing_artifact_names_its_stage(pipeline: Path, tmp_path: Path) -> None:
    folder = copy(pipeline, tmp_path)
    (folder / "artifacts" / "onnx" / "model.onnx.data").unlink()
    ended = run(folder)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "model.onnx.data" in ended.stderr
    assert "run export.py first" in ended.stderr


@pytest.mark.parametrize(
    ("host", "port"),
    [
        (":", "0"),
        ("...", "0"),
        ("", "0"),
        ("192.0.2.1", "0"),
        ("127.0.0.1", "70000"),
        ("127.0.0.1", "-1"),
    ],
)
def test_a_place_that_is_none_is_one_line(pipeline: Path, host: str, port: str) -> None:
    ended = run(pipeline, f"--host={host}", f"--port={port}")
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert ended.stderr.startswith(
        f"serve.py: cannot listen on {host!r}, port {port}: "
    )


@pytest.mark.parametrize("option", ["--port=x", "--workers=4", "spec.yaml"])
def test_a_wrong_option_is_one_line(pipeline: Path, option: str) -> None:
    ended = run(pipeline, option)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert option.removeprefix("--port=") in ended.stderr


def test_help_names_the_options(pipeline: Path) -> None:
    ended = run(pipeline, "--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "--host" in ended.stdout
    assert "--port" in ended.stdout


def zeroed(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def not_finite(file: Path) -> None:
    file.write_bytes(b"\xff" * file.stat().st_size)


def garbled(file: Path) -> None:
    file.write_bytes(np.random.default_rng(0).bytes(file.stat().st_size))


@pytest.mark.parametrize("noted", [True, False], ids=["noted", "not noted"])
@pytest.mark.parametrize("damage", [zeroed, cut, emptied, not_finite, garbled])
@pytest.mark.parametrize(
    ("name", "maker"),
    [
        ("onnx/model.onnx", "export.py"),
        ("onnx/model.onnx.data", "export.py"),
        ("tokenizer.json", "data.py"),
    ],
)
def test_a_damaged_artifact_names_its_stage(
    bpe_pipeline: Path,
    tmp_path: Path,
    name: str,
    maker: str,
    damage: Callable[[Path], None],
    noted: bool,
) -> None:
    folder = copy(bpe_pipeline, tmp_path)
    damage(folder / "artifacts" / name)
    if not noted:
        (folder / "artifacts" / "files.json").unlink()
    ended = run(folder, "--port=0")
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert "is damaged: run " in ended.stderr
    assert f"run {maker} again" in ended.stderr


def test_a_vocabulary_of_another_model_is_refused(
    pipeline: Path, bpe_pipeline: Path, tmp_path: Path
) -> None:
    folder = copy(bpe_pipeline, tmp_path)
    shutil.copytree(
        pipeline / "artifacts/onnx", folder / "artifacts/onnx", dirs_exist_ok=True
    )
    (folder / "artifacts" / "files.json").unlink()
    ended = run(folder, "--port=0")
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "run all stages again" in ended.stderr


def test_numbers_that_are_none_are_an_error_in_json(
    pipeline: Path, tmp_path: Path
) -> None:
    copy(pipeline, tmp_path)
    late = "return self.logits[0] * (np.nan if self.length > 9 else 1)"
    edit(tmp_path / "decoder.py", {r"return self\.logits\[0\]": late})
    edit(tmp_path / "generation.py", {r"token in ends": "False"})
    server = Served(tmp_path)
    status, _, body = server.post(max_tokens=20)
    assert (status, body["error"]["type"]) == (500, "server_error")
    assert "not finite" in body["error"]["message"]
    with pytest.raises(openai.APIError, match="not finite"):
        [*server.complete(max_tokens=20, stream=True)]
    assert server.post(max_tokens=2)[0] == 200
    server.close()


# The parts


def pieces_of(script: SimpleNamespace, said: bytes, **fields: object) -> list[Any]:
    """The pieces of a text that a model says byte by byte."""
    request = SimpleNamespace(**fields)
    return [*script.spell(said, script.Vocabulary().speller(), request)]


@pytest.mark.parametrize("stop", [[], ["x🙂"], ["🙂🙂!", "日本国"]])
def test_characters_are_sent_whole(script: SimpleNamespace, stop: list[str]) -> None:
    text = "naïve 日本語 🙂🙂 e\u0301"
    said = text.encode()
    pieces = pieces_of(script, said, stop=stop, max_tokens=len(said))
    assert "".join(piece.text for piece in pieces) == text
    assert all("\ufffd" not in piece.text for piece in pieces)
    assert pieces[-1].finish_reason == "length"


def test_a_character_that_stays_unfinished_is_marked(script: SimpleNamespace) -> None:
    pieces = pieces_of(script, "a🙂".encode()[:-1], stop=[], max_tokens=9)
    assert "".join(piece.text for piece in pieces) == "a\ufffd"
    assert pieces[-1].finish_reason == "stop"  # a separator came before max_tokens


def test_what_may_become_a_stop_string_is_held_back(script: SimpleNamespace) -> None:
    stop = ["abc", ", abc,"]
    pieces = pieces_of(script, b"ab, ab, abc, d", stop=stop, max_tokens=14)
    assert [piece.text for piece in pieces if piece.text] == ["ab", ", ab", ", "]
    assert (pieces[-1].tokens, pieces[-1].finish_reason) == (11, "stop")


class Saying:
    """A decoder that says what the test wants."""

    def __init__(self, *said: np.ndarray) -> None:
        self.said, self.length = iter(said), 0

    def forward(self, tokens: list[int], positions: list[int]) -> np.ndarray:
        return next(self.said)[None]


def test_the_separator_ends_a_text(script: SimpleNamespace) -> None:
    ends = script.Vocabulary.ends
    decoder = Saying(*np.eye(257)[[104, 105, *ends, 33]])
    request = SimpleNamespace(
        prompt=[256], max_tokens=9, temperature=0, top_p=1, seed=None
    )
    assert [*script.generate(decoder, ends, request, lambda: False)] == [104, 105]


def test_top_p_keeps_the_smallest_set_that_reaches_it(script: SimpleNamespace) -> None:
    logits = np.log(np.array([0.1, 0.5, 0.15, 0.25], np.float32))
    random = np.random.default_rng(0)
    expected = {0: {1}, 0.49: {1}, 0.6: {1, 3}, 0.8: {1, 2, 3}, 1: {0, 1, 2, 3}}
    for top_p, kept in expected.items():
        drawn = [script.sample(logits, 1, top_p, random) for _ in range(300)]
        assert set(drawn) == kept
    assert np.bincount(drawn) / 300 == pytest.approx([0.1, 0.5, 0.15, 0.25], abs=0.1)


def test_steps_of_any_size_append_the_same_sequence(script: SimpleNamespace) -> None:
    decoder = script.Decoder("model.onnx")
    tokens = np.random.default_rng(0).integers(0, 256, 60)
    whole = decoder.forward(tokens, range(60)).copy()
    for sizes in ([30, 20, 10], [59, 1], [1] * 60):
        decoder.length = 0
        steps = np.split(tokens, np.cumsum(sizes)[:-1])
        parts = [decoder.forward(step, range(len(step))).copy() for step in steps]
        error = np.linalg.norm(np.concatenate(parts) - whole) / np.linalg.norm(whole)
        assert (
            error < 0.05
        )  # int8 arithmetic rounds a single token's activations elsewise


# A vocabulary of longer tokens


def test_bpe_completes_and_counts_its_tokens(bpe: Served, bpe_pipeline: Path) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(bpe_pipeline / "artifacts" / "tokenizer.json"))
    prompt = "def naïve(日本): return 🙂"
    answer = bpe.complete(prompt, max_tokens=9, seed=1)
    ids = tokenizer.encode(prompt).ids
    assert ids[0] == tokenizer.token_to_id("<|endoftext|>")
    assert answer.usage.prompt_tokens == len(ids)
    same = bpe.complete(ids, max_tokens=9, seed=1)
    assert same.choices[0].text == answer.choices[0].text


def test_bpe_streams_the_same_text(bpe: Served) -> None:
    for seed in range(3):
        fields = {"max_tokens": 48, "temperature": 2, "seed": seed}
        whole = bpe.complete(**fields).choices[0].text
        assert text_of(bpe.complete(stream=True, **fields)) == whole


def test_bpe_spells_every_text(bpe_pipeline: Path) -> None:
    vocabulary = load(bpe_pipeline).Vocabulary()
    text = "".join(map(chr, range(1, 0x250))) + "\t\r\n 日本語 🙂"
    separator, *tokens = vocabulary.encode(text)
    assert {separator} == vocabulary.ends
    assert b"".join(vocabulary.spellings[token] for token in tokens).decode() == text


def test_bpe_needs_its_tokenizer(bpe_pipeline: Path, tmp_path: Path) -> None:
    folder = copy(bpe_pipeline, tmp_path)
    (folder / "artifacts" / "tokenizer.json").unlink()
    ended = run(folder)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "run data.py first" in ended.stderr
