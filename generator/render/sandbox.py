"""What templates of the author's are rendered in: they read what they are given, and do nothing."""

from typing import Any

from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Sandbox(ImmutableSandboxedEnvironment):
    """A sandbox that notes which templates others have asked for by name.

    Powers, and products and formats of text, are refused: a few letters of them fill memory.
    """

    intercepted_binops = frozenset(("**", "*", "%"))

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.asked: set[str] = set()

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" or not all(
            isinstance(x, int | float) for x in (left, right)
        ):
            raise SecurityError(f"{operator} of these does not stand in a template")
        return super().call_binop(context, operator, left, right)

    def join_path(self, template: str, parent: str) -> str:
        self.asked.add(template)
        return super().join_path(template, parent)
