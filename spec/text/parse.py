"""YAML to a tree of located values, by the core rules of YAML 1.2."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NoReturn

import yaml

from leangen.spec.errors import Diagnostic, LeangenError, bounded
from leangen.spec.text.document import Document, FieldPath, Node, dotted, shorten
from leangen.spec.text.scalars import resolve
from leangen.spec.text.source import Place, Source, decode, forbidden_in

MAX_NODES = 2_000  # aliases expanded
MAX_DEPTH = 16

_START = "a spec starts with leangen: 1"
_REMEDIES = {
    "mapping values are not allowed": "indent the fields of a section alike, "
    "or quote a text that holds a colon",
    "could not find expected ':'": "write 'field: value'",
    "unexpected end of stream": "close the quotes",
    "expected ',' or ']'": "close the list with ]",
    "expected ',' or '}'": "close the braces with }",
    "expected key": "indent the fields of a section alike",
    "tab character": "indent with spaces",
    "cannot start any token": "indent with spaces; quote a text that starts with "
    "a special character",
    "alphabetic or numeric": "quote a text that starts with * or &",
    "incompatible YAML": "delete the line",
}


def parse(content: str | bytes, file: str) -> Document:
    """Read a spec's text into a tree; raises LeangenError where it is not YAML."""
    source = decode(content, file)
    composer = _Composer(source, _events(source.text))
    try:
        return composer.document()
    except yaml.MarkedYAMLError as error:
        _refuse_depth(source, error.problem_mark)
        raise LeangenError(
            [*bounded(composer.problems), _syntax(source, error)]
        ) from error


def _refuse_depth(source: Source, mark: yaml.Mark | None) -> None:
    """Raise our own error where the text before a mark is too deep for a spec.

    Parsers read ahead, and some have a limit of their own: they stop at the thousandth
    level before the seventeenth is seen here.
    """
    before = source.text[: mark.index] if mark else ""
    composer = _Composer(source, _events(before))
    try:
        composer.document()
    except (yaml.MarkedYAMLError, StopIteration):
        return
    except LeangenError as error:
        if error.diagnostics[-1].code == "too-deep":
            raise


def _events(text: str) -> Iterator[yaml.Event]:
    """Scan with libyaml where PyYAML has it: ten times as fast."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return iter(yaml.parse(text, Loader=loader))


_Value = yaml.ScalarEvent | yaml.SequenceStartEvent | yaml.MappingStartEvent


@dataclass
class _Composer:
    """Events to nodes; holds what YAML makes stateful: anchors and what they cost."""

    source: Source
    events: Iterator[yaml.Event]
    count: int = 0
    anchors: dict[str, tuple[Node, int]] = field(default_factory=dict)
    problems: list[Diagnostic] = field(default_factory=list)

    def document(self) -> Document:
        """Read the only document of the file, a mapping."""
        next(self.events)  # the stream starts
        if not isinstance(next(self.events), yaml.DocumentStartEvent):
            self.fail(Place(1, 1), "empty", "the file is empty", remedy=_START)
        root = self.node(next(self.events), ())
        next(self.events)  # the document ends
        following = next(self.events)
        if isinstance(following, yaml.DocumentStartEvent):
            message = "a second document starts here"
            remedy = "keep one spec a file"
            self.fail(_place(following), "documents", message, remedy=remedy)
        if not isinstance(root.value, dict):
            self.fail(root.place, "type", "the file holds no fields", remedy=_START)
        return Document(self.source, root, tuple(self.problems))

    def node(self, event: yaml.Event, path: FieldPath) -> Node:
        """Read one value, and what is inside it."""
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, path)
        assert isinstance(event, _Value)  # what libyaml's grammar leaves
        before = self.count
        self.spend(event, 1, path)
        node = self.content(event, path)
        if event.tag:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            message = f"tag {shorten(tag)} may not stand in a spec"
            self.note(node.place, "tag", message, path)
        if event.anchor:
            self.anchors[event.anchor] = node, self.count - before
        return node

    def content(self, event: _Value, path: FieldPath) -> Node:
        """Read the items of a list, the fields of a section, or a scalar."""
        if isinstance(event, yaml.SequenceStartEvent):
            return Node(_place(event), self.items(path))
        if isinstance(event, yaml.MappingStartEvent):
            return Node(_place(event), self.fields(path))
        found = forbidden_in(event.value)
        if found:
            message = f"character {found} may not stand in a value"
            self.note(_place(event), "character", message, path)
        value = resolve(event.value) if event.implicit[0] else event.value
        return Node(_place(event), value, event.value)

    def items(self, path: FieldPath) -> list[Node]:
        """Read values up to the end of a list."""
        nodes: list[Node] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            nodes.append(self.node(event, (*path, len(nodes))))
        return nodes

    def fields(self, path: FieldPath) -> dict[str, Node]:
        """Read names and values up to the end of a section; names are as written."""
        nodes: dict[str, Node] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self.node(event, (*path, ""))
            value = self.node(next(self.events), (*path, key.raw))
            if isinstance(key.value, dict | list):
                message = "the name of a field must be plain text"
                self.note(key.place, "key", message, path)
            elif key.raw in nodes:
                self.repeated(key, nodes[key.raw], (*path, key.raw))
            else:
                nodes[key.raw] = replace(value, key=key.place)
        return nodes

    def repeated(self, key: Node, first: Node, path: FieldPath) -> None:
        """Report a field that is there already."""
        line = first.key.line if first.key else 0
        message = f"{shorten(key.raw)} stands in line {line} already"
        self.note(key.place, "duplicate-field", message, path)

    def alias(self, event: yaml.AliasEvent, path: FieldPath) -> Node:
        """Repeat an anchored value, at the price of writing it out."""
        if event.anchor not in self.anchors:
            message = f"*{event.anchor} repeats nothing that is whole before it"
            self.fail(_place(event), "alias", message, path)
        node, size = self.anchors[event.anchor]
        self.spend(event, size, path, _height(node))
        return replace(node, place=_place(event))

    def spend(
        self, event: yaml.Event, nodes: int, path: FieldPath, height: int = 0
    ) -> None:
        """Stop at what is too large or too deep to be a spec."""
        self.count += nodes
        if self.count > MAX_NODES:
            message = f"more than {MAX_NODES} values, aliases written out"
            self.fail(_place(event), "too-large", message)
        if len(path) + height > MAX_DEPTH:
            message = f"more than {MAX_DEPTH} levels deep"
            self.fail(_place(event), "too-deep", message)

    def note(self, place: Place, code: str, message: str, path: FieldPath) -> None:
        """Report, and read on."""
        found = self.source.diagnostic(
            place, code, message, path=dotted(path), suggestion="delete it"
        )
        self.problems.append(found)

    def fail(
        self,
        place: Place,
        code: str,
        message: str,
        path: FieldPath = (),
        remedy: str = "",
    ) -> NoReturn:
        """Report, and stop."""
        found = self.source.diagnostic(
            place, code, message, path=dotted(path), suggestion=remedy
        )
        raise LeangenError([*bounded(self.problems), found])


def _height(node: Node) -> int:
    return max((1 + _height(child) for child in node.children.values()), default=0)


def _place(event: yaml.Event) -> Place:
    """Turn libyaml's 0-based marks into a place; what spans lines is 1 wide."""
    start, end = event.start_mark, event.end_mark
    assert start and end  # an event that was parsed has both
    one_line = start.line == end.line
    width = end.column - start.column if one_line else 1
    return Place(start.line + 1, start.column + 1, width)


def _syntax(source: Source, error: yaml.MarkedYAMLError) -> Diagnostic:
    """Say where the text stops being YAML, and what usually mends it."""
    mark = error.problem_mark or error.context_mark
    place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
    problem = error.problem or error.context or ""
    remedies = (text for part, text in _REMEDIES.items() if part in problem)
    remedy, message = next(remedies, ""), f"not YAML: {problem}"
    return source.diagnostic(place, "syntax", message, suggestion=remedy)
