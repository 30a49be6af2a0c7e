"""The entry point of `leangen`, and of `python -m leangen`."""

import sys


def main() -> None:
    """Import the command, and run it: an interrupt is one line in either."""
    try:
        from leangen.cli import main as command
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        sys.exit(130)
    command()


if __name__ == "__main__":
    main()
