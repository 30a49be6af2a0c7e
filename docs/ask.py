"""Ask the server of a generated folder something, as any OpenAI client would.

    python docs/ask.py generated/demo

Starts serve.py, streams two completions, and stops it again.
"""

import re
import subprocess
import sys
from pathlib import Path

from openai import OpenAI

PROMPTS = ["def read_file(path):\n    ", "class Error(Exception):\n    "]


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
    """Stream a completion of each prompt to the terminal."""
    client = OpenAI(base_url=url, api_key="unused")
    model = client.models.list().data[0].id
    for prompt in PROMPTS:
        print(f"\n--- {model} goes on with:\n{prompt}", end="", flush=True)
        chunks = client.completions.create(
            model=model, prompt=prompt, max_tokens=120, temperature=0.5, stream=True
        )
        for chunk in chunks:
            print(chunk.choices[0].text, end="", flush=True)
        print()


if __name__ == "__main__":
    main()
