"""What a program may import, and that importing it, or asking for help, costs nothing."""

from __future__ import annotations

import subprocess
import sys

import segmentry

HEAVY = {
    "alembic",
    "duckdb",
    "httpx",
    "numpy",
    "pandas",
    "polars",
    "pyarrow",
    "pydantic",
    "rich",
    "ruamel",
    "sqlalchemy",
    "sqlglot",
    "stamina",
}


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after running `code`."""
    listing = f"{code}\nimport sys; print('\\n' + ' '.join({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", listing], check=True, capture_output=True, text=True)
    return set(done.stdout.splitlines()[-1].split())


def test_the_public_list_is_short_sorted_and_true() -> None:
    assert segmentry.__all__ == sorted(segmentry.__all__)
    assert len(segmentry.__all__) <= 30
    for name in segmentry.__all__:
        assert getattr(segmentry, name).__doc__, name
    assert set(dir(segmentry)) >= set(segmentry.__all__)


def test_the_names_that_programs_are_written_against() -> None:
    assert {"Workspace", "Run", "evaluate", "Events", "Membership", "parse", "RuleError", "SegmentryError"} <= set(segmentry.__all__)
    for name in ("open", "check", "preview", "recompute", "members", "contacts", "explain", "history"):
        assert callable(getattr(segmentry.Workspace, name)), name
    for name in ("plan", "deliver", "approve", "discard", "enrollments", "deliveries", "pause", "resume", "recover", "status"):
        assert callable(getattr(segmentry.Workspace, name)), name
    for name in ("members", "counts", "to_polars"):
        assert callable(getattr(segmentry.Membership, name)), name


def test_every_error_is_a_segmentry_error() -> None:
    raised = [getattr(segmentry, name) for name in segmentry.__all__]
    errors = [name for name in raised if isinstance(name, type) and issubclass(name, Exception)]
    assert errors
    assert all(issubclass(error, segmentry.SegmentryError) for error in errors)


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not loaded_by("import segmentry") & HEAVY


def test_help_loads_nothing_heavy() -> None:
    for arguments in (["--help"], ["--version"], ["recompute", "--help"], ["preview", "--help"]):
        code = f"from segmentry.cli import main\ntry: main({arguments!r})\nexcept SystemExit as end: assert not end.code"
        assert not loaded_by(code) & HEAVY, arguments


def test_nothing_of_development_is_loaded_by_the_engine() -> None:
    """But numpy, which pyarrow loads where it is installed."""
    code = "import segmentry\nfor name in segmentry.__all__: getattr(segmentry, name)"
    assert not loaded_by(code) & {"pandas", "pytz", "hypothesis", "pytest", "re2"}
