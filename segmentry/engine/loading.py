"""A workspace's files as one value: configuration, segments with their parsed rules, and every problem in every file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from zoneinfo import ZoneInfo

from segmentry.engine.config import (
    SEGMENT_NAME,
    SegmentConfig,
    WorkspaceConfig,
    read_segment_config,
    read_workspace_config,
)
from segmentry.engine.config_destinations import consent_place, consent_texts, destination_problems, without_secrets
from segmentry.engine.config_names import named, segment_name_problems, workspace_name_problems
from segmentry.engine.config_splits import split_problems
from segmentry.engine.config_words import segment_word_problems, sequence_word_problems
from segmentry.engine.yaml import Document, Steps, locate, read_document
from segmentry.errors import RuleError, WorkspaceError
from segmentry.rules.builder import parse_builder
from segmentry.rules.builder_words import MATCHES
from segmentry.rules.diagnostics import Diagnostic, Location, Severity
from segmentry.rules.parse import parse_text
from segmentry.rules.suggest import did_you_mean
from segmentry.rules.syntax import Syntax
from segmentry.rules.zones import zone_info

WORKSPACE_FILE = "segmentry.yml"
SEGMENTS_FOLDER = "segments"
SUPPRESS: Steps = ("suppress",)
"""Where `segmentry.yml` says who is never sent anything."""

OF_DATA = ("version", "id", "name", "timezone", "week_start", "engine", "contacts", "events")
"""What of `segmentry.yml` says where data is and how it is read."""


@dataclass(frozen=True)
class Segment:
    """One segment as its file says it.

    `syntax` is the parsed rule: None for a static list, and for a rule with problems. `rule` is the text of a `where`
    or the builder mapping of `rules`. `list`, `include` and `exclude` are paths as written, relative to the workspace.
    """

    name: str
    document: Document
    config: SegmentConfig
    syntax: Syntax | None = None

    @property
    def file(self) -> str:
        """The file as shown to the user, relative to the workspace."""
        return self.document.file

    @property
    def label(self) -> str:
        return self.config.label or self.name

    @property
    def rule(self) -> str | dict[str, object] | None:
        if self.config.where is not None:
            return self.config.where
        return None if self.config.rules is None else {"match": self.config.match or "all", "rules": self.config.rules}

    @property
    def list(self) -> str | None:
        return self.config.list_

    @property
    def include(self) -> str | None:
        return self.config.include

    @property
    def exclude(self) -> str | None:
        return self.config.exclude

    def locate(self, diagnostic: Diagnostic) -> Diagnostic:
        """A diagnostic of this segment's rule, with its place in the file."""
        return locate(self.document, diagnostic)


@dataclass(frozen=True)
class LoadedWorkspace:
    """A workspace's files. `segments` has those whose file can be understood, by name, in alphabetical order.

    `diagnostics` is every problem of the segment files, and every warning; `require` raises if one is an error.
    `names` has every segment's name, of broken files too, so that a reference to one is not a second problem.
    `suppress` is the parsed rule of those who are never sent anything; None where the workspace has none.
    `consents` has, by destination, the parsed rule of those who agreed to be told there, where the workspace says one.
    """

    root: Path
    config: WorkspaceConfig
    document: Document
    environment: str
    segments: Mapping[str, Segment]
    names: frozenset[str]
    diagnostics: tuple[Diagnostic, ...] = field(default=())
    suppress: Syntax | None = None
    consents: Mapping[str, Syntax] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.config.name or self.root.name

    @property
    def state(self) -> Path:
        """The state folder of the chosen environment."""
        environment = self.config.environments.get(self.environment)
        if environment is not None and environment.state is not None:
            return self.root / environment.state
        return self.root / self.config.state / self.environment

    @property
    def temp(self) -> Path | None:
        """The folder to spill into, if the workspace names one."""
        return self.root / self.config.engine.temp if self.config.engine.temp else None

    @property
    def zone(self) -> ZoneInfo:
        return zone_info(self.config.timezone)

    def locate(self, diagnostic: Diagnostic, rule: Steps) -> Diagnostic:
        """A diagnostic of a rule in `segmentry.yml`, which stands at `rule` there, with its place in the file."""
        return locate(self.document, diagnostic, rule)

    def lists(self) -> dict[str, Path]:
        """Every static list that a segment names, by its path as written."""
        written = (path for s in self.segments.values() for path in (s.list, s.include, s.exclude))
        return {path: self.root / path for path in sorted({path for path in written if path is not None})}

    def require(self) -> LoadedWorkspace:
        """Itself; raises WorkspaceError with every problem if one of them is an error."""
        if _wrong(self.diagnostics):
            raise WorkspaceError(self.diagnostics)
        return self


def load(path: str | Path, env: str = "default", *, anyway: bool = False) -> LoadedWorkspace:
    """The workspace in the folder `path` (or whose `segmentry.yml` it is), for one environment.

    Problems of segment files are in the result's `diagnostics`. Without a usable `segmentry.yml` there is no result:
    raises WorkspaceError with every problem of every file. `anyway`: as long as what it says of the data is in order, its
    other problems are in `diagnostics` too, so that rules can be checked against the data in the same go.
    """
    root = _root(path)
    document, config, problems = _workspace_file(root, env)
    segments, names, found = _segments(root)
    if document is not None:
        documents = {name: segment.document for name, segment in segments.items()}
        configs = {name: segment.config for name, segment in segments.items()}
        enroll = {name: config.enroll for name, config in configs.items()}
        found += segment_name_problems(documents, enroll, named(document, "sequences"), names)
        found += segment_word_problems(document, documents, configs)
        found += split_problems(documents, configs)
        found.sort(key=_file_and_place)
    broken = config is None or _wrong(problems)
    if document is not None and broken and anyway:
        data = _of_data(document)
        config = data and (config or data)
    if document is None or config is None or (broken and not anyway):
        raise WorkspaceError([*problems, *found])
    rules = {place: rule for place, text in _texts(document).items() if (rule := _rule_of(text)) is not None}
    consents = {name: rules[place] for name in consent_texts(document) if (place := consent_place(name)) in rules}
    return LoadedWorkspace(root, config, document, env, segments, names, (*problems, *found), rules.get(SUPPRESS), consents)


def require_workspace(path: str | Path, env: str = "default") -> None:
    """Raises what `load` would if there is no usable `segmentry.yml`; reads no segment's file otherwise."""
    document, config, problems = _workspace_file(_root(path), env)
    if document is None or config is None or _wrong(problems):
        load(path, env)


def _root(path: str | Path) -> Path:
    root = Path(path).absolute()
    return root.parent if root.name == WORKSPACE_FILE else root


def _workspace_file(root: Path, env: str) -> tuple[Document | None, WorkspaceConfig | None, list[Diagnostic]]:
    """`segmentry.yml`, what it says as far as that can be understood, and its problems."""
    document, problems = _workspace_document(root)
    if document is None:
        return None, None, problems
    config, wrong = read_workspace_config(document)
    problems.extend(wrong)
    problems.extend(workspace_name_problems(document))
    problems.extend(sequence_word_problems(document))
    problems.extend(_text_problems(document))
    problems.extend(_environment_problems(document, config, env))
    problems.extend(destination_problems(document))
    if problems:
        problems = without_secrets(document, sorted(problems, key=_place))
    return document, config, problems


def _of_data(document: Document) -> WorkspaceConfig | None:
    """What `segmentry.yml` says of the data alone; None where that is not in order."""
    value = {key: said for key, said in document.value.items() if key in OF_DATA}
    config, problems = read_workspace_config(replace(document, value=value))
    return None if _wrong(problems) else config


def _rule_of(text: str) -> Syntax | None:
    """A rule; None where it is none, of which its file's problems tell."""
    try:
        return parse_text(text)
    except RuleError:
        return None


def _wrong(problems: Iterable[Diagnostic]) -> bool:
    return any(problem.severity is Severity.ERROR for problem in problems)


def _place(problem: Diagnostic) -> tuple[int, int]:
    return (problem.location.line, problem.location.column) if problem.location else (0, 0)


def _file_and_place(problem: Diagnostic) -> tuple[str, int, int]:
    return (problem.location.file if problem.location else "", *_place(problem))


def _texts(document: Document) -> dict[Steps, str]:
    """The rules in `segmentry.yml` as text: `suppress` and destinations' `consent`, by their places."""
    texts: dict[Steps, str] = {consent_place(name): text for name, text in consent_texts(document).items()}
    suppress = document.written(SUPPRESS)
    if suppress is not None and document.value["suppress"] is not None:
        texts[SUPPRESS] = suppress
    return texts


def _text_problems(document: Document) -> list[Diagnostic]:
    """What is wrong with the text of `suppress` and of destinations' `consent`, each problem at its place."""
    problems: list[Diagnostic] = []
    for rule, text in _texts(document).items():
        try:
            parse_text(text)
        except RuleError as error:
            problems += [locate(document, problem, rule) for problem in error.diagnostics]
    return problems


def _workspace_document(root: Path) -> tuple[Document | None, list[Diagnostic]]:
    if not (root / WORKSPACE_FILE).exists():
        hint = "`segmentry init` makes one" if root.is_dir() or not root.exists() else "name the folder that holds segmentry.yml"
        return None, [Diagnostic("W101", f"there is no {WORKSPACE_FILE} in {root}", help=hint)]
    return read_document(root / WORKSPACE_FILE, WORKSPACE_FILE)


def _environment_problems(document: Document, config: WorkspaceConfig | None, env: str) -> list[Diagnostic]:
    if config is None or env == "default" or env in config.environments:
        return []
    known = sorted({"default", *config.environments})
    at = document.key_location(("environments",)) if "environments" in document.value else Location(document.file, 1, 1)
    hint = did_you_mean(env, known) or f"there are {', '.join(known)}"
    return [Diagnostic("W303", f"there is no environment `{env}`", location=at, help=hint)]


def _segments(root: Path) -> tuple[dict[str, Segment], frozenset[str], list[Diagnostic]]:
    """Every segment that can be understood, every segment's name, and every problem of their files."""
    segments: dict[str, Segment] = {}
    names: set[str] = set()
    problems: list[Diagnostic] = []
    folder = root / SEGMENTS_FOLDER
    try:
        entries = sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        return {}, frozenset(), [Diagnostic("W102", f"{SEGMENTS_FOLDER}/ can't be read: {(error.strerror or str(error)).lower()}")]
    for path in entries:
        if path.name.startswith("."):
            continue
        shown = f"{SEGMENTS_FOLDER}/{path.name}"
        misplaced = _misplaced(path, shown)
        if misplaced is not None:
            problems.append(misplaced)
            continue
        names.add(path.stem)
        segment, found = _segment(root, path, shown)
        problems.extend(found)
        if segment is not None:
            segments[path.stem] = segment
    return segments, frozenset(names), problems


def _misplaced(path: Path, shown: str) -> Diagnostic | None:
    """What is wrong with something in the segments folder that is no segment's file."""
    at = Location(shown, 1, 1)
    if path.is_dir():
        return Diagnostic("W301", f"{shown} is a folder", location=at, help="segment files stand directly in `segments/`; tags group them")
    if path.suffix != ".yml":
        hint = f"name it {path.stem}.yml" if path.suffix == ".yaml" else "move it elsewhere; `segments/` holds NAME.yml files only"
        return Diagnostic("W301", f"{shown} is no segment file", location=at, help=hint)
    if not re.fullmatch(SEGMENT_NAME, path.stem):
        fit = re.sub(r"[^a-z0-9]+", "_", path.stem.lower()).strip("_")
        hint = f"rename it to {fit}.yml" if re.fullmatch(SEGMENT_NAME, fit) else "begin with a letter"
        message = f"`{path.stem}` can't be a segment's name: lower-case letters, digits and `_`, a letter first"
        return Diagnostic("W301", message, location=at, help=hint)
    return None


def _segment(root: Path, path: Path, shown: str) -> tuple[Segment | None, list[Diagnostic]]:
    document, problems = read_document(path, shown)
    if document is None:
        return None, problems
    config, wrong = read_segment_config(document)
    problems.extend(wrong)
    problems.extend(_list_problems(root, document))
    syntax, found = _parsed(document)
    problems.extend(found)
    problems.sort(key=_place)
    return Segment(path.stem, document, config, syntax) if config is not None else None, problems


def _parsed(document: Document) -> tuple[Syntax | None, list[Diagnostic]]:
    """The rule's tree, or None and what is wrong with it, each problem at its place; also for a file with other problems."""
    where = document.written(("where",))
    rules = document.value.get("rules")
    try:
        if where is not None and document.value["where"] is not None:
            return parse_text(where), []
        if isinstance(rules, list):
            match = document.value.get("match")
            return parse_builder({"match": match if match in MATCHES else "all", "rules": rules}), []
    except RuleError as error:
        base: Steps = ("where",) if where is not None else ()
        return None, [locate(document, problem, base) for problem in error.diagnostics]
    return None, []


def _list_problems(root: Path, document: Document) -> list[Diagnostic]:
    written = {key: document.value.get(key) for key in ("list", "include", "exclude")}
    return [
        Diagnostic("W302", f"there is no list {path}", location=document.location((key,)), help=_list_help(root, path))
        for key, path in written.items()
        if isinstance(path, str) and path.strip() and not _is_file(root / path)
    ]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _list_help(root: Path, path: str) -> str:
    if "://" in path:
        return "lists are local files in this version"
    try:
        if (root / path).is_dir():
            return "this is a folder; name a file in it"
        folder = (root / path).parent
        beside = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return did_you_mean(Path(path).name, beside) or "paths are relative to the workspace's folder"
