"""What templates of the author's are rendered in: they read what they are given, and do nothing."""

from typing import Any

from jinja2.sandbox import ImmutableSandboxedEnvironment


class Sandbox(ImmutableSandboxedEnvironment):
    """A sandbox that notes which templates others have asked for by name."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.asked: set[str] = set()

    def join_path(self, template: str, parent: str) -> str:
        self.asked.add(template)
        return super().join_path(template, parent)
