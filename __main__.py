"""`python -m leangen` is the command."""

from leangen.cli import main

main()
