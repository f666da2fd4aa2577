"""New workspace files: what `init` and `new` write. Nothing that exists is ever overwritten."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import uuid4

from segmentry.engine.config import SEGMENT_NAME
from segmentry.engine.yaml import locate, parse_document, scalar_value
from segmentry.errors import RuleError, WorkspaceError
from segmentry.rules.builder import parse_builder
from segmentry.rules.diagnostics import Diagnostic

_WORKSPACE = """\
version: 1                            # of this file's format
id: {id}   # this workspace's own: never change it, never copy it to another workspace
name: {name}
timezone: {timezone}                         # of dates, days and months: a name like Europe/London
week_start: monday

contacts:
  path: data/contacts.parquet         # a file, a glob, a folder of key=value folders, or data/contacts/{{date}}.parquet
  key: contact_id                     # an integer, text or UUID; unique and set
  # email: email                      # which column is the address
  # ready: data/contacts/{{date}}._SUCCESS   # a snapshot without this file does not exist yet
  # fields: {{postcode: text}}          # types that CSV or NDJSON can't tell

# events:
#   - path: data/events/*.parquet     # one table of many events, their names in a column
#     contact: contact_id
#     at: occurred_at
#     name: event
#   - path: data/orders/*.parquet     # one table of one event
#     contact: contact_id
#     at: created_at
#     event: order_placed

# engine: {{memory: 4 GiB, threads: 2}}
# retention: {{memberships: 30 days}}   # changes are kept for good
"""

_EXAMPLE = """\
label: Everybody
description: Every contact of the snapshot; change `where` to say who is in
where: "true"
# where: location = 'UK' and date_added in the last '30 days'
"""

_WITHOUT_VALUE = ("is set", "is not set")
_WITH_LIST = ("in", "not in", "between", "not between")
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*( [A-Za-z0-9_]+)*|[0-9]+ [a-z]+")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]+)?")


def init_files(name: str, timezone: str = "UTC", workspace_id: str | None = None) -> dict[str, str]:
    """A new workspace's files: path to text. `workspace_id` is a fresh UUID where not given."""
    text = _WORKSPACE.format(id=workspace_id or uuid4(), name=_text(name), timezone=timezone)
    return {"segmentry.yml": text, "segments/everybody.yml": _EXAMPLE}


def new_segment(name: str, conditions: Sequence[tuple[str, str, str | None]] = (), label: str | None = None) -> dict[str, str]:
    """A new segment's file: path to text, in builder form; each condition is a field, an operator and a value.

    A value that looks like a number is one; of `in` and `between` it is a list, separated by commas.
    Raises WorkspaceError for a name that no segment can have, RuleError for conditions that make no rule.
    """
    if not re.fullmatch(SEGMENT_NAME, name):
        fit = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        hint = f"did you mean `{fit}`?" if re.fullmatch(SEGMENT_NAME, fit) else None
        message = f"`{name}` can't be a segment's name: lower-case letters, digits and `_`, a letter first"
        raise WorkspaceError([Diagnostic("W301", message, help=hint)])
    lines = [f"label: {_text(label or name.replace('_', ' ').capitalize())}"]
    if conditions:
        lines += ["rules:", *(f"  - {_entry(*condition)}" for condition in conditions)]
    else:
        lines += ['where: "true"   # everybody; say who is in']
    text = "\n".join(lines) + "\n"
    path = f"segments/{name}.yml"
    document, problems = parse_document(text, path)
    if document is None or problems:
        raise WorkspaceError(problems)
    if conditions:
        try:
            parse_builder({"rules": document.value["rules"]})
        except RuleError as error:
            raise RuleError([locate(document, problem) for problem in error.diagnostics]) from None
    return {path: text}


def write_new(root: Path, files: Mapping[str, str]) -> list[Path]:
    """Writes all the files below `root`, each whole or not at all; raises WorkspaceError, nothing written, if one exists."""
    there = [path for path in files if os.path.lexists(root / path)]
    if there:
        raise WorkspaceError([Diagnostic("W304", f"{path} exists already", help="nothing was written") for path in there])
    written = []
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(target, text)
        written.append(target)
    return written


def _write(target: Path, text: str) -> None:
    """Writes a file that does not exist yet. A hard link makes it appear whole, and fails if another was faster."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
            umask = os.umask(0)
            os.umask(umask)
            os.fchmod(stream.fileno(), 0o666 & ~umask)
        os.link(name, target)
    except FileExistsError:
        raise WorkspaceError([Diagnostic("W304", f"{target.name} exists already", help="it was not overwritten")]) from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()


def _entry(field: str, operator: str, value: str | None) -> str:
    parts = [f"field: {_text(field)}", f"operator: {_text(operator)}"]
    if operator in _WITH_LIST:
        items = ", ".join(_scalar(item.strip()) for item in (value or "").split(","))
        parts.append(f"value: [{items}]")
    elif operator not in _WITHOUT_VALUE:
        parts.append(f"value: {_scalar(value or '')}")
    return "{" + ", ".join(parts) + "}"


def _scalar(text: str) -> str:
    """A value as a YAML scalar: the number or truth value that it spells, else text."""
    return text if _NUMBER.fullmatch(text) or text in ("true", "false") else _text(text)


def _text(text: str) -> str:
    """Text as a YAML scalar that reads as that text."""
    if _PLAIN.fullmatch(text) and isinstance(scalar_value(text, plain=True), str):
        return text
    return json.dumps(text, ensure_ascii=False)
