"""The rooms of the package: who may import whom, and which other library where. All imports count, lazy ones too."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "segmentry"
FILES = sorted(PACKAGE.rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# The room of a module is the longest of these that its name begins with.
MAY_IMPORT = {
    "segmentry.errors": {"segmentry.rules"},  # the tree of errors is the lowest stone; diagnostics are named in its types
    "segmentry.rules": {"segmentry.errors"},
    "segmentry.demo": set(),
    "segmentry.verifying": {"segmentry.rules"},  # a second reading shares what rules mean, and nothing of how they are computed
    "segmentry.engine": {"segmentry", "segmentry.errors", "segmentry.rules", "segmentry.demo", "segmentry.verifying"},
    "segmentry.sandbox": {"segmentry.errors", "segmentry.engine"},  # the other side of the wire
    "segmentry.cli": {"segmentry", "segmentry.errors", "segmentry.rules", "segmentry.engine", "segmentry.sandbox"},
    "segmentry.__main__": {"segmentry.cli"},
    "segmentry": {"segmentry.errors", "segmentry.rules", "segmentry.engine"},  # the public names, imported when used
}

# Which other library may be imported where (DESIGN's rooms); a path with a slash at its end is a folder.
AT_HOME = {
    "alembic": ("engine/state/",),
    "click": ("cli",),
    "cronsim": ("engine/cron.py",),
    "duckdb": (
        "engine/backends/",
        "engine/digests.py",
        "engine/frames.py",
        "engine/reader.py",
        "engine/rows.py",
        "engine/scanning.py",
        "engine/schemas.py",
        "engine/sources.py",
        "engine/textfiles.py",
    ),
    "httpcore": ("engine/connectors/",),
    "httpx": ("engine/connectors/",),
    "numpy": ("engine/scatter.py",),
    "polars": ("engine/", "demo/", "cli"),
    "pyarrow": ("engine/", "verifying/", "cli"),
    "pydantic": (
        "engine/config_",
        "engine/comparing.py",
        "engine/json_schemas.py",
        "engine/connectors/settings.py",
        "engine/connectors/registry.py",
    ),
    "pydantic_core": ("engine/config_", "engine/connectors/settings.py"),
    "rich": ("cli", "engine/render.py"),
    "ruamel": ("engine/yaml.py", "engine/formatting.py"),
    "sqlalchemy": ("engine/state/",),
    "sqlglot": ("rules/", "engine/"),
    "stamina": ("engine/connectors/",),
}
# sqlglot's types stay in the rules' lowering and in the compiler.
WITHOUT_SQLGLOT = (
    "rules/check",
    "rules/functions.py",
    "rules/nodes.py",
    "rules/syntax.py",
    "rules/types.py",
    "engine/state/",
    "engine/run.py",
)


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports(path: Path) -> list[tuple[str, bool]]:
    """Every module that a file imports, and whether it does so for types only."""
    return list(_imports(path))


def _imports(path: Path) -> Iterator[tuple[str, bool]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in typing_only) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{path}: imports are absolute"
            for alias in node.names:
                inner = PACKAGE.parent / Path(*node.module.split("."), alias.name)
                is_module = inner.with_suffix(".py").exists() or inner.is_dir()
                yield (f"{node.module}.{alias.name}" if is_module else node.module), id(node) in typing_only


def room_of(module: str) -> str:
    matching = [room for room in MAY_IMPORT if module == room or module.startswith((room + ".", room + "_"))]
    return max(matching, key=len)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_arrows_point_one_way(path: Path) -> None:
    room = room_of(module_of(path))
    reached = {room_of(module) for module, _ in imports(path) if module.split(".")[0] == "segmentry"}
    assert reached - {room} <= MAY_IMPORT[room]


def test_modules_import_each_other_in_no_circle() -> None:
    graph = {
        module_of(path): {module for module, types_only in imports(path) if module.startswith("segmentry.") and not types_only}
        for path in FILES
    }
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join((*way[way.index(module) :], module))
        if module not in done:
            for further in sorted(graph.get(module, ())):
                visit(further, (*way, module))
            done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_other_libraries_stay_where_they_belong(path: Path) -> None:
    place = path.relative_to(PACKAGE).as_posix()
    for module, types_only in imports(path):
        library = module.split(".")[0]
        if library == "segmentry" or library in sys.stdlib_module_names:
            continue
        assert library in AT_HOME, f"{place} imports {library}"
        assert types_only or place.startswith(AT_HOME[library]), f"{place} imports {library}"
        assert library != "sqlglot" or not place.startswith(WITHOUT_SQLGLOT), f"{place} imports sqlglot"


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    declared = {re.split(r"[><=\[]", requirement)[0].lower() for requirement in PROJECT["dependencies"]}
    used = {module.split(".")[0] for path in FILES for module, _ in imports(path)} - sys.stdlib_module_names - {"segmentry"}
    names = {"ruamel": "ruamel.yaml", "pydantic_core": "pydantic"}
    assert {names.get(library, library) for library in used} | {"tzdata"} == declared  # tzdata is data: read, not imported


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_can_be_held_in_one_look(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 520, "files of about 500 lines or fewer"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and "migrations" not in path.parts:  # a schema is one long list
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 75, f"{node.name} is long"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_names_say_something_and_nothing_is_left_undone(path: Path) -> None:
    assert not set(path.relative_to(PACKAGE).with_suffix("").parts) & {"utils", "util", "helpers", "common", "core", "manager", "misc"}
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b", text)
    assert "NotImplementedError" not in text


def test_constraints_are_names_and_versions_of_everything_declared() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line) for line in lines)
    assert lines == sorted(lines, key=str.lower)
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines}
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *(requirement for extra in extras.values() for requirement in extra)]
    assert {re.split(r"[><=\[]", requirement)[0].lower() for requirement in wanted} <= pinned
