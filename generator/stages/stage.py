"""What a row says of a generated file: what it sees, reads, writes and costs."""

from collections.abc import Callable
from dataclasses import dataclass

from leangen.spec import Spec

Files = Callable[[Spec], tuple[str, ...]]


@dataclass(frozen=True)
class Stage:
    """A generated file of the pipeline: a script, or a module that scripts import.

    fields: the parts of the spec that the file sees; no other edit can touch it.
    costs: those that the stage's bytes and time come from; plan.json lists them.
    reads, writes: files under artifacts/. Both depend on the spec: of what is read, the
    files that an earlier stage writes are the stage's inputs.
    part_of: of a module, the stages whose plan it sees: the first one that is there.
    variant: which of the templates in the stage's folder is rendered.
    """

    name: str
    fields: tuple[str, ...] = ()
    costs: tuple[str, ...] = ()
    reads: Files = lambda spec: ()
    writes: Files = lambda spec: ()
    present: Callable[[Spec], bool] = lambda spec: True
    part_of: tuple[str, ...] = ()
    variant: Callable[[Spec], str] = lambda spec: "script"
    runs: bool = True  # False: a module, or by_hand
    serves: bool = False  # True: does not end by itself
    by_hand: bool = False  # True: a script that no run starts

    @property
    def script(self) -> str:
        """Name of the file that the stage is rendered to."""
        return f"{self.name}.py"
