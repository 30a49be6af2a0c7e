"""A spec file with its folder: what should be in there, and how the disk differs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from leangen.generator.disk import EDITED, Change
from leangen.generator.plan import Plan
from leangen.spec import Spec


@dataclass(frozen=True)
class Project:
    """One spec, planned and rendered, beside what lies on the disk."""

    spec: Spec
    plan: Plan
    folder: Path
    files: Mapping[str, str]
    changes: tuple[Change, ...]

    @property
    def edited(self) -> list[Change]:
        """List the files that something else than leangen wrote."""
        return [change for change in self.changes if change.state == EDITED]
