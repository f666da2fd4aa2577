"""Which files a source's `path` means at one instant: a file, a glob, a folder of hive folders, a `{date}` template."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from segmentry.engine.snapshot import Format
from segmentry.rules.suggest import did_you_mean
from segmentry.rules.zones import local_to_utc

DATE = "{date}"
_DATE_TEXT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2})?"
_HIVE = re.compile(r"([^=]+)=(.*)")

FORMATS = {
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
    ".csv": Format.CSV,
    ".ndjson": Format.NDJSON,
    ".jsonl": Format.NDJSON,
}


class PathProblem(Exception):  # noqa: N818 -- carries a problem to the one place that makes the diagnostic
    """Why a path means no files; `key` is the workspace's key to point at."""

    def __init__(self, code: str, message: str, hint: str | None = None, key: str = "path") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.key = key


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a source in the order of their paths, their format, and each file's hive columns."""

    paths: tuple[Path, ...]
    format: Format
    hive: tuple[dict[str, str], ...] = ()
    """Per file the columns its folders name, by the folders' order; empty for a source without hive folders."""


def find(path: str, ready: str | None, root: Path, as_of: datetime, zone: str) -> Files:
    """The files that `path` means at `as_of`; raises PathProblem."""
    for written, key in ((path, "path"), (ready, "ready")):
        if written is not None and re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", written):
            raise PathProblem("S104", f"{written} is not a local path", "sources are local files in this version", key)
    if DATE in path:
        paths = _newest(path, ready, root, as_of, zone)
    else:
        if ready is not None and not (root / ready).exists():
            raise PathProblem(
                "S106", f"the source is not ready: there is no {ready}", "whoever writes the files makes it when they are done", "ready"
            )
        paths = _all(path, root)
    return _of_one_format(path, paths, root)


def _all(path: str, root: Path) -> list[Path]:
    """The files of a path without a date."""
    if not glob.has_magic(path) or (root / path).exists():
        whole = root / path
        if whole.is_dir():
            return _hive_folder(path, whole)
        if not whole.exists():
            raise PathProblem("S101", f"there is no {path}", _beside(whole))
        if not whole.is_file():
            raise PathProblem("S105", f"{path} is no ordinary file", "name a file, a glob, or a folder of `key=value` folders")
        return [whole]
    found = _matches(path, root)
    if not found:
        raise PathProblem("S101", f"nothing matches {path}", _fixed_part(path, root))
    return found


def _matches(pattern: str, root: Path) -> list[Path]:
    """What a glob matches, hidden files and markers like `_SUCCESS` left out; a folder among them is a problem."""
    found = [root / name for name in _glob(pattern, root)]
    found = [entry for entry in found if not entry.name.startswith(("_", "."))]
    files = [entry for entry in found if not entry.is_dir()]
    folders = [entry for entry in found if entry.is_dir()]
    if folders and "**" not in pattern:
        shown = folders[0].relative_to(root) if folders[0].is_relative_to(root) else folders[0]
        raise PathProblem("S102", f"{pattern} matches the folder {shown}", f"write {pattern}/*.parquet if the files are in such folders")
    return files


def _glob(pattern: str, root: Path) -> list[str]:
    """What matches, as paths relative to `root` (absolute for an absolute pattern)."""
    found = glob.glob(pattern, root_dir=root, recursive=True)  # noqa: PTH207 -- Path.glob refuses absolute patterns
    return [name for name in dict.fromkeys(found) if not name.endswith("/")]


def _hive_folder(path: str, folder: Path) -> list[Path]:
    """The data files below a folder of `key=value` folders."""
    inside = sorted(folder.iterdir())
    if not any(_HIVE.fullmatch(entry.name) and entry.is_dir() for entry in inside):
        kinds = sorted({entry.suffix for entry in inside if entry.suffix in FORMATS})
        hint = f"write {path.rstrip('/')}/*{kinds[0]}" if kinds else "name a file, a glob, or a folder of `key=value` folders"
        raise PathProblem("S102", f"{path} is a folder", hint)
    found = [folder / name for name in _glob("**/*", folder)]
    files = [entry for entry in found if entry.suffix in FORMATS and entry.is_file() and not entry.name.startswith("_")]
    if not files:
        raise PathProblem("S101", f"there are no data files in {path}", f"data files end with {', '.join(FORMATS)}")
    return files


def _newest(path: str, ready: str | None, root: Path, as_of: datetime, zone: str) -> list[Path]:
    """The files of the newest date at or before `as_of` whose marker, if one is asked for, is there."""
    template = re.compile(_template(path))
    by_instant: dict[datetime, tuple[str, list[Path]]] = {}
    for name in _glob(path.replace(DATE, "*"), root):
        found = template.fullmatch(name)
        instant = _first_instant(found["date"], zone) if found else None
        if found and instant is not None:
            by_instant.setdefault(instant, (found["date"], []))[1].append(root / name)
    if not by_instant:
        raise PathProblem(
            "S101", f"nothing matches {path}", _fixed_part(path, root) or f"`{DATE}` stands for a date like 2026-01-31 or 2026-01-31T09"
        )
    due = [instant for instant in by_instant if instant <= as_of]
    if not due:
        date = by_instant[min(by_instant)][0]
        raise PathProblem("S107", f"{path} has no date at or before {as_of:%Y-%m-%d %H:%M} UTC", f"the first is {date}")
    complete = [instant for instant in due if ready is None or (root / ready.replace(DATE, by_instant[instant][0])).exists()]
    if not complete:
        date = by_instant[max(due)][0]
        marker = (ready or "").replace(DATE, date)
        raise PathProblem("S106", f"no snapshot of {path} is ready", f"the newest is of {date}, and there is no {marker}", "ready")
    date, paths = by_instant[max(complete)]
    files = [entry for entry in paths if not entry.is_dir() and not entry.name.startswith(("_", "."))]
    folders = [entry for entry in paths if entry.is_dir()]
    if files:
        return files
    return [file for folder in folders for file in _hive_folder(path.replace(DATE, date), folder)]


def dated(path: str, file: str, root: Path, zone: str) -> datetime | None:
    """The first instant of the `{date}` that a file of this path has in its name; None for a path without one."""
    if DATE not in path:
        return None
    beside = Path(file).relative_to(root) if Path(file).is_relative_to(root) and not Path(path).is_absolute() else Path(file)
    template = re.compile(_template(path))
    for name in (beside, *beside.parents):  # a date may name a folder of files
        found = template.fullmatch(name.as_posix())
        if found:
            return _first_instant(found["date"], zone)
    return None


def _first_instant(date: str, zone: str) -> datetime | None:
    """The first instant of a date, or hour, in the zone; None for a date that no calendar has."""
    try:
        return local_to_utc(datetime.strptime(date, "%Y-%m-%dT%H" if "T" in date else "%Y-%m-%d"), zone)  # noqa: DTZ007 -- local time
    except ValueError:
        return None


def _template(path: str) -> str:
    """A regular expression for the names that a template with globs matches."""
    pieces: Sequence[tuple[str, Callable[[str], str]]] = (
        (r"\{date\}", lambda _: ""),
        (r"\*\*/", lambda _: "(?:.*/)?"),
        (r"\*\*", lambda _: ".*"),
        (r"\*", lambda _: "[^/]*"),
        (r"\?", lambda _: "[^/]"),
        (r"\[!?[^\]]+\]", lambda text: text.replace("[!", "[^", 1)),
        (r".", re.escape),
    )
    pattern = ""
    for found in re.finditer("|".join(piece for piece, _ in pieces), path):
        text = found.group()
        if text == DATE:
            pattern += f"(?P<date>{_DATE_TEXT})" if "?P<date>" not in pattern else "(?P=date)"
        else:
            pattern += next(make(text) for piece, make in pieces if re.fullmatch(piece, text))
    return pattern


def _of_one_format(path: str, paths: list[Path], root: Path) -> Files:
    ordered = sorted(paths, key=lambda entry: entry.as_posix())
    formats = {entry: FORMATS.get(entry.suffix.lower()) for entry in ordered}
    unknown = [entry.name for entry, kind in formats.items() if kind is None]
    if unknown:
        raise PathProblem("S105", f"{unknown[0]} is of no known format", f"a file's name ends with {', '.join(FORMATS)}")
    kinds = {kind for kind in formats.values() if kind is not None}
    if len(kinds) > 1:
        raise PathProblem(
            "S105", f"{path} matches files of different formats: {', '.join(sorted(kinds))}", "name one format: end the path with *.parquet"
        )
    kind = kinds.pop()
    hive = tuple(_hive_columns(entry, root) for entry in ordered) if kind is Format.PARQUET else ()
    if len({tuple(sorted(columns)) for columns in hive}) > 1:
        odd = next(entry for entry, columns in zip(ordered, hive, strict=True) if columns.keys() != hive[0].keys())
        raise PathProblem(
            "S203", f"{odd.name} lies in other `key=value` folders than {ordered[0].name}", "all files of a source lie equally deep"
        )
    return Files(tuple(entry.absolute() for entry in ordered), kind, hive if any(hive) else ())


def _hive_columns(path: Path, root: Path) -> dict[str, str]:
    inside = path.relative_to(root) if path.is_relative_to(root) else path
    found = (_HIVE.fullmatch(part) for part in inside.parts[:-1])
    return {match[1]: match[2] for match in found if match}


def _beside(path: Path) -> str:
    """What to say of a file that is not there: the nearest name, or the first folder that is not there either."""
    if path.parent.is_dir():
        names = [entry.name for entry in path.parent.iterdir()]
        return did_you_mean(path.name, names) or "paths are relative to the workspace's folder"
    missing = next(folder for folder in reversed(path.parents) if not folder.exists())
    return f"there is no folder {missing.name} in {missing.parent}"


def _fixed_part(pattern: str, root: Path) -> str | None:
    """What to say of a glob that matches nothing, if it is its folder that is not there."""
    fixed = Path()
    for part in Path(pattern).parts[:-1]:
        if glob.has_magic(part) or DATE in part:
            break
        fixed /= part
    return None if (root / fixed).is_dir() else f"there is no folder {fixed}"
