"""Ask the server of a generated folder something, as any OpenAI client would.

    python docs/ask.py generated/demo

Starts serve.py, streams the docstrings that its model writes for some signatures, and
stops it again.
"""

import re
import subprocess
import sys
from pathlib import Path

from openai import OpenAI

SIGNATURES = [  # none is chosen by what comes out
    "def close(self):",
    "def get_name(self):",
    "def is_empty(self):",
    "def parse_date(text):",
    "def read_lines(file, limit=None):",
    "def remove_user(self, name):",
    "def send_message(self, message):",
    "def wait(self, timeout=None):",
]


def main() -> None:
    folder = Path(sys.argv[1])
    server = subprocess.Popen(
        [sys.executable, folder / "serve.py"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout
        ready = server.stdout.readline()
        print(ready, end="")
        found = re.search(r"http://\S+", ready)
        if found:
            ask(found[0])
    finally:
        server.terminate()
        code = server.wait()
    sys.exit(code)


def ask(url: str) -> None:
    """Stream the likeliest docstring of each signature to the terminal."""
    client = OpenAI(base_url=url, api_key="unused")
    model = client.models.list().data[0].id
    print(f'{model} goes on behind each """:')
    for signature in SIGNATURES:
        prompt = f'{signature}\n    """'
        print(f"\n{prompt}", end="", flush=True)
        chunks = client.completions.create(
            model=model, prompt=prompt, max_tokens=40, temperature=0, stream=True
        )
        for chunk in chunks:
            print(chunk.choices[0].text, end="", flush=True)


if __name__ == "__main__":
    main()
