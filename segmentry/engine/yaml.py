"""YAML 1.2 files with the place of everything in them.

`read_document` never raises for what stands in a file: it gives the document, or the problems. Scalars follow YAML
1.2's core schema (`NO` is text, so is `2026-01-31`); keys are text as written. Aliases work, within bounds.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from segmentry.engine.scalars import spread
from segmentry.rules.diagnostics import Diagnostic, Location, Place

MAX_BYTES = 512 * 1024
MAX_DEPTH = 250
"""A builder rule may nest 100 deep, and each of its levels is a list in a mapping."""
MAX_OPEN = 1_000
"""Open brackets beyond which a file is not even parsed: the parser's work grows with their square."""
MAX_VALUES = 100_000
"""Values of one file with all aliases expanded."""

REMEMBERED, REMEMBERED_SIZE = 256, 4 * 1024
"""Texts whose parse is remembered, and the characters up to which one is; a tree takes 45 bytes a character."""

Steps = tuple[str | int, ...]

_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_ANCHOR = re.compile(r"&\S+[ \t]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF|nan|NaN|NAN)")
_BRACKET = re.compile(r"[\[\]{}]")
_LINE_BREAK = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Document:
    """One YAML file: its name as shown to the user, its text, its value as plain Python, and where everything stands."""

    file: str
    text: str
    value: dict[str, Any]
    root: Node = field(repr=False, compare=False)

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(found.end() for found in _LINE_BREAK.finditer(self.text))]

    def written(self, path: Steps) -> str | None:
        """The scalar at `path` as text, before it became a number or a boolean; None where no scalar is."""
        node, depth = self._find(path)
        return str(node.value) if depth == len(path) and isinstance(node, ScalarNode) else None

    def key_location(self, path: Steps) -> Location:
        """Where the key at the end of `path` stands; the nearest place above it if it is not there."""
        parent, depth = self._find(path[:-1])
        if path and depth == len(path) - 1 and isinstance(parent, MappingNode):
            for key, _ in parent.value:
                if str(key.value) == path[-1]:
                    return self._span(key.start_mark.index, key.end_mark.index)
        return self.location(path)

    def location(self, path: Steps = (), start: int = 0, end: int = 0) -> Location:
        """Where the value at `path` stands; for a scalar, its code points from `start` to before `end` (0, 0: all of it).

        A path that leads nowhere gives the last thing on its way that exists.
        """
        node, depth = self._find(path)
        if depth < len(path) and depth:
            return self.key_location(path[:depth]) if isinstance(path[depth - 1], str) else self._whole(node)
        if not isinstance(node, ScalarNode):
            return self._whole(node)
        raw = self.text[node.start_mark.index : node.end_mark.index]
        indices = spread(raw, str(node.value))
        if indices is None or (start == end == 0 and "\n" not in raw):
            return self._whole(node)
        if start == end == 0:
            end = len(indices) - 1
        first = indices[min(start, len(indices) - 1)]
        final = indices[min(end, len(indices) - 1) - 1] + 1 if end > start else first
        return self._span(node.start_mark.index + first, node.start_mark.index + final)

    def _find(self, path: Steps) -> tuple[Node, int]:
        """The node at `path`, or the last one on the way to it, and how many steps led there."""
        node = self.root
        for depth, step in enumerate(path):
            below = _child(node, step)
            if below is None:
                return node, depth
            node = below
        return node, len(path)

    def _whole(self, node: Node) -> Location:
        return self._span(node.start_mark.index, node.end_mark.index)

    def _span(self, start: int, end: int) -> Location:
        """The part of the text from `start` to `end`, or of it what stands on its first line."""
        return span(self.text, self.file, start, end, self._line_starts)


def span(text: str, file: str, start: int, end: int, starts: list[int] | None = None) -> Location:
    """The location of `text[start:end]`, underlined up to the end of its first line."""
    starts = starts or [0, *(found.end() for found in _LINE_BREAK.finditer(text))]
    start = min(start, len(text))
    line = bisect_right(starts, start) - 1
    found = _LINE_BREAK.search(text, starts[line])
    shown = text[starts[line] : found.start() if found else len(text)]
    column = min(start - starts[line], len(shown))
    width = max(1, len(text[start : min(end, starts[line] + len(shown))].rstrip()))
    return Location(file, line + 1, column + 1, shown.replace("\t", " "), width)


def _child(node: Node, step: str | int) -> Node | None:
    if isinstance(node, MappingNode):
        return next((value for key, value in node.value if str(key.value) == step), None)
    if isinstance(node, SequenceNode) and isinstance(step, int) and 0 <= step < len(node.value):
        return node.value[step]  # type: ignore[no-any-return]
    return None


_OF_A_KEY = frozenset({"R121", "R123"})
"""Problems of the builder form that are with a key, not with its value."""


def locate(document: Document, diagnostic: Diagnostic, base: Steps | None = None) -> Diagnostic:
    """The diagnostic of a rule in `document`, with its place in the file.

    `base` is the path to the rule's text or builder form; without one, a place with no path of its own is in `where`.
    """
    if diagnostic.location is not None:
        return diagnostic
    place = diagnostic.place or Place()
    if base is None:
        base = ("where",) if not place.path and "where" in document.value else ()
    steps = (*base, *place.path)
    if diagnostic.code in _OF_A_KEY:
        return replace(diagnostic, location=document.key_location(steps))
    return replace(diagnostic, location=document.location(steps, place.start, place.end))


def read_document(path: Path, file: str) -> tuple[Document | None, list[Diagnostic]]:
    """The document at `path`, shown to the user as `file`; or None and what is wrong."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None, [_problem("W101", f"there is no {file}", file)]
    except OSError as error:
        return None, [_problem("W102", f"{file} can't be read: {(error.strerror or str(error)).lower()}", file)]
    if len(data) > MAX_BYTES:
        return None, [_problem("W107", f"{file} has more than {MAX_BYTES // 1024} KiB", file, hint="a file holds one segment")]
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return None, [_not_utf8(data, error, file)]
    return parse_document(text, file)


def parse_document(text: str, file: str) -> tuple[Document | None, list[Diagnostic]]:
    """The document with this text; or None and what is wrong with it."""
    if _open_brackets(text) > MAX_OPEN:
        return None, [_problem("W107", f"{file} is nested too deep", file)]
    try:
        root = (_composed_before if len(text) <= REMEMBERED_SIZE else _composed)(text)
    except ReaderError as error:
        at = span(text, file, error.position, error.position + 1)
        return None, [
            Diagnostic("W104", f"the character U+{ord(text[error.position]):04X} can't stand in YAML", location=at, help="remove it")
        ]
    except MarkedYAMLError as error:
        return None, [_syntax_problem(text, file, error)]
    except RecursionError:
        return None, [_problem("W107", f"{file} is nested too deep", file)]
    except (YAMLError, ValueError) as error:
        return None, [_problem("W104", f"this is not YAML: {error}", file)]
    if root is None:
        return None, [_problem("W106", f"{file} is empty", file)]
    reader = _Reader(text, file)
    try:
        value = reader.read(root)
    except RecursionError:  # a tree that was remembered may be read further down than it could have been composed
        return None, [_problem("W107", f"{file} is nested too deep", file)]
    if not reader.problems and not isinstance(value, dict):
        at = span(text, file, root.start_mark.index, root.end_mark.index)
        reader.problems.append(Diagnostic("W110", "this file is not a mapping", location=at, help="write `key: value`, one key a line"))
    if not isinstance(value, dict) or reader.exhausted:
        return None, reader.problems
    return Document(file, text, value, root), reader.problems


def _composed(text: str) -> Node | None:
    root: Node | None = YAML(typ="safe", pure=True).compose(text)
    return root


_composed_before = lru_cache(maxsize=REMEMBERED)(_composed)
"""Who opens a workspace again and again (a schedule, a notebook) parses only what changed. Nodes are read, never changed."""


def _open_brackets(text: str) -> int:
    """The most brackets that are ever open, those in quotes and comments counted too: a bound, told without parsing."""
    return max(accumulate(1 if found[0] in "[{" else -1 for found in _BRACKET.finditer(text)), default=0)


class _Reader:
    """Turns composed nodes into plain values, noting what can't stand in our files."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.problems: list[Diagnostic] = []
        self.seen = 0
        self.exhausted = False

    def read(self, node: Node, depth: int = 0) -> Any:
        self.seen += 1
        if depth > MAX_DEPTH or self.seen > MAX_VALUES:
            # a self-referring or exploding alias ends here too; said once
            if not self.exhausted:
                self.exhausted = True
                what = "is nested too deep" if depth > MAX_DEPTH else "has too many values, aliases expanded"
                self.note("W107", f"this {what}", node)
            return None
        if self.text.startswith("!", _after_anchor(self.text, node.start_mark.index)):
            self.note("W108", "a YAML tag can't stand here", node, "write the value without it, text in quotes")
        if isinstance(node, ScalarNode):
            return scalar_value(str(node.value), plain=node.style is None)
        if isinstance(node, SequenceNode):
            return [self.read(item, depth + 1) for item in node.value]
        return dict(self.entries(node, depth)) if isinstance(node, MappingNode) else None

    def entries(self, node: MappingNode, depth: int) -> Iterator[tuple[str, Any]]:
        first: dict[str, Node] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self.note("W109", "a key must be text", key, "write `key: value`")
                continue
            name = str(key.value)
            if name in first:
                line = span(self.text, self.file, first[name].start_mark.index, 0).line
                self.note("W105", f"the key `{name}` stands twice", key, f"it stands on line {line} already")
                continue
            first[name] = key
            yield name, self.read(value, depth + 1)

    def note(self, code: str, message: str, node: Node, hint: str | None = None) -> None:
        at = span(self.text, self.file, node.start_mark.index, node.end_mark.index)
        self.problems.append(Diagnostic(code, message, location=at, help=hint))


def _after_anchor(text: str, index: int) -> int:
    found = _ANCHOR.match(text, index)
    return found.end() if found else index


def scalar_value(text: str, plain: bool) -> Any:
    """A scalar by YAML 1.2's core schema: only `true`, `false`, `null`, `~` and numbers are more than text, and only unquoted."""
    if not plain:
        return text
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text[0] in "tT"
    if _INT.fullmatch(text) and len(text) < 1000:
        return int(text)
    if _OCTAL.fullmatch(text) and len(text) < 1000:
        return int(text, 0)
    if _HEX.fullmatch(text) and len(text) < 1000:
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    special = _SPECIAL.fullmatch(text)
    if special:
        return float(special[1] + special[2])
    return text


def _problem(code: str, message: str, file: str, hint: str | None = None) -> Diagnostic:
    return Diagnostic(code, message, location=Location(file, 1, 1), help=hint)


def _not_utf8(data: bytes, error: UnicodeDecodeError, file: str) -> Diagnostic:
    before = data[: error.start].decode("utf-8-sig", "replace")
    rest = data[error.start :].split(b"\n", 1)[0].decode("latin-1")
    at = span(before + rest, file, len(before), len(before) + 1)
    return Diagnostic(
        "W103", "this file is not UTF-8", location=at, help=f"the byte {data[error.start]:#04x} is not; save the file as UTF-8"
    )


def _syntax_problem(text: str, file: str, error: MarkedYAMLError) -> Diagnostic:
    mark = error.problem_mark or error.context_mark
    if error.context_mark and "end" in str(error.problem) and "stream" in str(error.problem):
        mark = error.context_mark
    problem = str(error.problem or error.context or "this is not YAML").removesuffix(".")
    at = span(text, file, mark.index, mark.index + 1) if mark else Location(file, 1, 1)
    message, hint = _explain(problem, at, text[mark.index : mark.index + 1] if mark else "")
    if hint is None and error.context and error.context_mark:
        hint = f"{error.context}, which begins on line {span(text, file, error.context_mark.index, 0).line}"
    return Diagnostic("W104", message, location=at, help=hint)


def _explain(problem: str, at: Location, character: str) -> tuple[str, str | None]:
    """What ruamel complains of, in words for people who write segments; and what to do."""
    if "'\\t'" in problem or character == "\t":
        indents = not at.text[: at.column - 1].strip()
        return ("a tab can't indent YAML", "indent with spaces") if indents else ("a tab ends an unquoted value", "write a space")
    if "cannot start any token" in problem:
        return f"an unquoted value can't begin with `{character}`", "write it in quotes"
    if "mapping values are not allowed" in problem:
        return "a second `: ` on one line", "write the value in quotes, or below `>`"
    if "undefined alias" in problem:
        return problem, "an alias names an anchor that stands above it"
    if "another document" in problem:
        return "a second document begins here", "a file holds one; remove `---`"
    if "unexpected end of stream" in problem:
        return "a quote is not closed", "it opens here"
    if "<stream end>" in problem:
        return "a bracket is not closed", "it opens here"
    return f"this is not YAML: {problem}", None
