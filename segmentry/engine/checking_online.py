"""`check --online`: what destinations say when they are asked, as problems with places in the files. Nothing is told to anybody."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from segmentry.engine.asking import Inquiry, Open, Seen, Use, ask
from segmentry.engine.config_destinations import without_secrets
from segmentry.engine.config_problems import as_written
from segmentry.engine.connectors.registry import open_destination
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.state.outbox import Pinned
from segmentry.engine.whose import UNKNOWN
from segmentry.rules.diagnostics import Diagnostic, Severity

OUTSIDE = (
    "`mirror`: what starts there for whoever is put in, and again for whoever leaves and comes back, is an enrollment outside"
    " Segmentry's ledger; enrollment belongs in a sequence"
)


def ask_all(
    workspace: LoadedWorkspace,
    environ: Mapping[str, str],
    clock: Callable[[], datetime],
    pinned: Mapping[str, Pinned],
    *,
    open: Open = open_destination,
) -> list[Inquiry]:
    """Asks every destination, side by side, for what is in use; in the files' order. `pinned`: what each was first used with."""
    names = list(workspace.config.destinations)
    if not names:
        return []

    def one(name: str) -> Inquiry:
        return ask(workspace, name, environ, clock, pinned=pinned.get(name, UNKNOWN), everything=False, open=open)

    with ThreadPoolExecutor(len(names), thread_name_prefix="segmentry-ask") as pool:
        return list(pool.map(one, names))


def online_problems(workspace: LoadedWorkspace, asked: list[Inquiry]) -> list[Diagnostic]:
    """What is wrong by what destinations said (errors), and what people should know before a run (warnings), each at its place."""
    found = [problem for one in asked for problem in _problems(workspace, one)]
    return without_secrets(workspace.document, sorted(found, key=_place))


def _place(problem: Diagnostic) -> tuple[str, int, int]:
    where = problem.location
    return ("", 0, 0) if where is None else (where.file, where.line, where.column)


def _problems(workspace: LoadedWorkspace, asked: Inquiry) -> Iterator[Diagnostic]:
    document, again = workspace.document, f"`segmentry destinations {asked.name}` asks it again, alone"
    at = document.key_location(("destinations", asked.name))
    if asked.unreached is not None:
        yield Diagnostic("W320", asked.unreached, location=at, help=again, notes=("while that is so, nothing can be sent to it",))
    if asked.mismatch is not None:
        said = workspace.config.destinations[asked.name].account is not None
        yield Diagnostic("W321", asked.mismatch, location=document.location(("destinations", asked.name, "account")) if said else at)
    if asked.unread is not None:
        yield Diagnostic("W322", asked.unread, Severity.WARNING, location=at, help=again)
    for seen in asked.targets:
        if seen.problem is not None:
            for use in seen.uses:
                help = f"`segmentry destinations {asked.name}` shows what there is"
                yield Diagnostic("W322", seen.problem, location=use.document.location(use.place), help=help)
        yield from _missing_fields(seen)
    yield from _warnings(asked)


def _warnings(asked: Inquiry) -> Iterator[Diagnostic]:
    """What should be known of what is in use. What is so of several (of the audience of all tags) is said once, with the others' places."""
    told: dict[str, list[Use]] = {}
    starts: set[str] = set()
    for seen in asked.targets:
        if seen.outlook is not None:
            starts.update(seen.outlook.starts)
            for text in seen.outlook.warnings:
                told.setdefault(text, []).extend(seen.uses)
    mirrors: set[str] = set()
    for text, uses in told.items():
        first, *others = uses
        notes = [f"also for {use} ({use.target})" for use in others]
        fresh = {str(use) for use in uses if use.mirror and text in starts} - mirrors
        mirrors |= fresh
        message = f"{asked.name}, {first.target}: {text.rstrip('.')}"
        where = first.document.location(first.place)
        yield Diagnostic("W323", message, Severity.WARNING, location=where, notes=(*notes, *([OUTSIDE] if fresh else [])))


def _missing_fields(seen: Seen) -> Iterator[Diagnostic]:
    """Mapped names that the target has no field for, where it says which it has."""
    known = None if seen.outlook is None else seen.outlook.fields
    for use in seen.uses if known is not None else ():
        for name in use.fields:
            if name not in (known or ()):
                message = f"there is no merge field `{name}` yet"
                where = use.document.key_location(as_written(use.document, (*use.steps, "fields", name)))
                help = "it is made when it is first needed, of the type that the values have; make it there to choose another"
                yield Diagnostic("W324", message, Severity.WARNING, location=where, help=help)
