"""`fmt`: a segment file with its `where` in canonical text, and every other byte as it was.

A rule that has comments is left alone, since its canonical text would lose them; so are builder forms and lists, which
have no text. A rule that already says its canonical text, however its lines are broken, is left alone too.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode

from segmentry.engine.loading import SEGMENTS_FOLDER
from segmentry.engine.yaml import locate, read_document
from segmentry.errors import NotFound, RuleError
from segmentry.rules.diagnostics import Diagnostic
from segmentry.rules.parse import parse_text
from segmentry.rules.printer import to_text
from segmentry.rules.syntax import Syntax
from segmentry.rules.tokens import has_comments

INDENT = "  "


class Outcome(StrEnum):
    """What became of a file."""

    SAME = "canonical already"
    CHANGED = "rewritten"
    COMMENTS = "left as it is: its rule has comments, which canonical text would lose"
    NO_TEXT = "left as it is: it has no rule in text form"


@dataclass(frozen=True, slots=True)
class Formatted:
    """A file's text after formatting, and what was done."""

    text: str
    outcome: Outcome


@dataclass(frozen=True)
class Report:
    """What formatting did to each file, by its path as shown to the user, and the problems of rules that can't be parsed."""

    outcomes: tuple[tuple[str, Outcome], ...]
    problems: tuple[Diagnostic, ...]

    @property
    def changed(self) -> list[str]:
        """The files that were, or would be, rewritten."""
        return [path for path, outcome in self.outcomes if outcome is Outcome.CHANGED]


def format_files(root: Path, names: Sequence[str] = (), *, write: bool = True) -> Report:
    """Formats the files of these segments (none named: of all) in a workspace's folder. Raises NotFound.

    A file is replaced whole, or not at all.
    """
    folder = root / SEGMENTS_FOLDER
    known = sorted(path.stem for path in folder.glob("*.yml")) if folder.is_dir() else []
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise NotFound(f"there is no segment `{unknown}`")
    outcomes: list[tuple[str, Outcome]] = []
    problems: list[Diagnostic] = []
    for name in names or known:
        path, shown = folder / f"{name}.yml", f"{SEGMENTS_FOLDER}/{name}.yml"
        document, wrong = read_document(path, shown)
        if document is None:
            problems += wrong
            continue
        try:
            source = path.read_bytes().decode("utf-8")
            formatted = format_segment(source)
        except RuleError as error:
            problems += [locate(document, problem, ("where",)) for problem in error.diagnostics]
            continue
        if formatted.outcome is Outcome.CHANGED and write:
            _replace(path, formatted.text)
        outcomes.append((shown, formatted.outcome))
    return Report(tuple(outcomes), tuple(problems))


def _replace(path: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "wb") as stream:
        stream.write(text.encode())
    Path(name).chmod(path.stat().st_mode & 0o777)
    Path(name).replace(path)


def format_segment(source: str) -> Formatted:
    """A segment file's text, formatted. Raises RuleError if its rule can't be parsed; files that are no mapping come back as they are."""
    scalar = _where(source)
    if scalar is None:
        return Formatted(source, Outcome.NO_TEXT)
    rule = scalar.value.strip()
    syntax = parse_text(rule)
    canonical = to_text(syntax)
    if has_comments(rule):
        return Formatted(source, Outcome.COMMENTS)
    start, end = scalar.start_mark.index, scalar.end_mark.index
    written = source[start:end]
    if _same_text(canonical, rule, broken="\n" in written.strip()):
        return Formatted(source, Outcome.SAME)
    kept = written[len(written.rstrip()) :]
    line = source[source.rfind("\n", 0, start) + 1 : start]
    margin = line[: len(line) - len(line.lstrip())] + INDENT
    for style in (_on_one_line(canonical), _folded(canonical, margin), _quoted(canonical)):
        if style is not None:
            text = source[:start] + style + kept + source[end:]
            if _says(text, syntax):
                return Formatted(text, Outcome.CHANGED)
    return Formatted(source, Outcome.SAME)


def _same_text(canonical: str, rule: str, *, broken: bool) -> bool:
    """Whether the rule is its canonical text already; only where it is broken into lines may its spaces be others."""
    if broken:
        return canonical.split() == rule.split()
    return rule in (canonical, " ".join(line.strip() for line in canonical.split("\n")))


def _where(source: str) -> ScalarNode | None:
    """The scalar of the top-level key `where`."""
    try:
        root = YAML(typ="safe", pure=True).compose(source)
    except YAMLError:
        return None
    if not isinstance(root, MappingNode):
        return None
    return next((value for key, value in root.value if key.value == "where" and isinstance(value, ScalarNode)), None)


def _says(source: str, syntax: Syntax) -> bool:
    """Whether the file's rule still means what it did: nothing is written that doesn't."""
    scalar = _where(source)
    try:
        return scalar is not None and parse_text(scalar.value) == syntax
    except RuleError:
        return False


def _on_one_line(rule: str) -> str | None:
    """The rule in double quotes, if it is one line that needs no escapes."""
    return f'"{rule}"' if rule.isprintable() and not {'"', "\\"} & set(rule) else None


def _folded(rule: str, margin: str) -> str | None:
    """The rule as a folded block: the reader makes one line of it again."""
    lines = rule.split("\n")
    return ">\n" + "\n".join(margin + line for line in lines) if all(line.isprintable() for line in lines) else None


def _quoted(rule: str) -> str:
    """The rule in double quotes with escapes: JSON text is YAML text."""
    return json.dumps(rule, ensure_ascii=False)
