"""A plan as text: the queries that a run executes, and after them, as comments, what is made of their columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from segmentry.engine import algebra
from segmentry.engine.by_row import FEWEST_BY_ROW
from segmentry.engine.dense import FEWEST_CONTACTS, FEWEST_ROWS, ROWS_PER_CONTACT, SHARE_OF_MEMORY
from segmentry.engine.footers import rows_of
from segmentry.engine.lowering import sql
from segmentry.engine.plan import Plan
from segmentry.engine.snapshot import Format, Snapshot
from segmentry.rules.nodes import Memory, Remembered

TITLES = {
    "contacts": "the contacts' columns that rules read, in memory for the run",
    "contacts by position": "the contacts in their lasting order",
    "conditions": "every condition of every contact, a chunk of contacts at a time",
}


def plan_text(plan: Plan, report: Mapping[str, Any] | None = None) -> str:
    """The plan; with a run's report, also what it came to."""
    return "\n".join(_lines(plan, report)) + "\n"


def _lines(plan: Plan, report: Mapping[str, Any] | None) -> Iterator[str]:
    yield f"-- as of {plan.clock.as_of:%Y-%m-%dT%H:%M:%SZ}, in {plan.clock.zone}"
    if report is not None:
        yield from _computed(report["computed"])
    for name, query in plan.queries():
        yield ""
        yield f"-- {_title(name, plan.snapshot)}"
        if name == "contacts" and (told := _by_row(plan, report)) is not None:
            yield f"-- {told}"
        if name.startswith("events ") and name[7:].isdigit():
            yield f"-- {_kept(plan, int(name[7:]), report)}"
        yield sql.render(query, pretty=True) + ";"
    yield ""
    yield "-- segments, as bitmaps:"
    used = _counted(plan.steps)
    shared = {number: f"part{number}" for number, count in used.items() if count > 1 and isinstance(plan.steps[number], algebra.Combine)}
    for number, name in shared.items():
        yield f"--   {name} = {_said(plan, number, shared, top=True)}"
    for name, number in plan.segments.items():
        yield f"--   {name} = {_said(plan, number, shared)}"
    if report is not None:
        yield ""
        yield f"-- it ran {report['queries']} queries and read {report['rows_read']:,} rows, {report['bytes_read']:,} bytes"


def _computed(computed: Mapping[str, Any]) -> Iterator[str]:
    """For whom the plan was run, and where that was not for some contacts alone, why."""
    if computed["full"]:
        yield f"-- computed for all contacts: {computed['why']}"
        return
    yield f"-- computed for {computed['affected']:,} contacts, whose answers something may have changed since the accepted run;"
    yield "-- the others have the answers of that run, but in these segments:"
    for name, how in computed["segments"].items():
        if "why" in how:
            yield f"--   {name} is computed for all contacts: {how['why']}"
    carried = [name for name, how in computed["segments"].items() if how["computed"] == "nobody"]
    if carried:
        yield f"-- nobody can have changed in {', '.join(carried)}"


REMEMBERED = {
    Memory.ENTERED: "entered {}",
    Memory.EXITED: "exited {}",
    Memory.IN: "was in {}",
    Memory.OUT: "was not in {}",
    Memory.STAYED: "was in {} all along",
}
"""What earlier runs are asked of a segment, in words."""


def _remembered(asked: Remembered) -> str:
    window = asked.window
    bounds = [(word, instant) for word, instant in (("from", window.first), ("until", window.final)) if instant is not None]
    if asked.memory is Memory.STAYED:
        bounds = [("since", instant) for _, instant in bounds]
    when = "".join(f" {word} {instant:%Y-%m-%dT%H:%M:%SZ}" for word, instant in bounds)
    return REMEMBERED[asked.memory].format(asked.segment) + when


def _title(name: str, snapshot: Snapshot) -> str:
    if name in TITLES:
        relation = snapshot.contacts.relation
        return f"{TITLES[name]} ({_rows(sum(file.rows or 0 for file in relation.files))})"
    if name.startswith("populations"):
        return "what contacts are put in order by, a chunk of contacts at a time; the order itself is made of all of them"
    source = snapshot.events[int(name.rsplit(maxsplit=1)[-1])]
    what = f"events `{source.event}`" if source.event else f"events named by `{source.name}`"
    return f"{what}, one row per contact that has some ({_rows(sum(file.rows or 0 for file in source.relation.files))})"


def _by_row(plan: Plan, report: Mapping[str, Any] | None) -> str | None:
    """How the contacts' own conditions are asked, where not as it stands there."""
    if report is not None:
        count = report["contacts"].get("conditions_by_row")
        return f"{count:,} conditions on contacts alone were asked of the rows as they were read, and not of this table" if count else None
    relation = plan.snapshot.contacts.relation
    if relation.format is not Format.PARQUET or rows_of(relation) < FEWEST_BY_ROW:
        return None
    return "where everything is computed, conditions on contacts alone are asked of the rows as they are read, and not of this table"


def _kept(plan: Plan, source: int, report: Mapping[str, Any] | None) -> str:
    """How the events of a table are added up; what was done, if the plan has been run."""
    dense = next(scan.dense for scan in plan.scans if scan.source == source)
    if dense is None:
        return "grouped as here, since something is asked that is no count, sum, first or last"
    if report is None:
        share = f"{ROWS_PER_CONTACT:g} rows a contact, where {SHARE_OF_MEMORY:.0%} of the memory is enough"
        pays = f"from {FEWEST_CONTACTS:,} contacts, {FEWEST_ROWS:,} rows and {share}"
        return f"added up in arrays of {dense.bytes_per_contact()} bytes a contact {pays}; else grouped as here"
    if not report["computed"]["full"]:
        return "grouped as here, of the contacts alone that the run was about"
    if report["events"][source].get("in_arrays"):
        return f"added up in arrays of {dense.bytes_per_contact()} bytes a contact, from the same rows, not grouped as here"
    return "grouped as here: for arrays these are too few contacts or events, or there is too little memory"


def _rows(count: int) -> str:
    return f"estimated {count:,} rows" if count else "rows unknown before they are read"


def _counted(steps: tuple[algebra.Step, ...]) -> dict[int, int]:
    """How often each step is used by later ones."""
    counts: dict[int, int] = {}
    for step in steps:
        for item in step.items if isinstance(step, algebra.Combine) else ():
            counts[item] = counts.get(item, 0) + 1
    return counts


def _said(plan: Plan, number: int, shared: Mapping[int, str], *, top: bool = False) -> str:
    """A step in words: leaf columns, lists, and steps that others use too by their names."""
    if number in shared and not top:
        return shared[number]
    step = plan.steps[number]
    if isinstance(step, algebra.Everybody):
        return "everybody" if step.value else "nobody"
    if isinstance(step, algebra.Leaf):
        if step.column in plan.remembered:
            return _remembered(plan.remembered[step.column])
        return f"listed in {plan.listed[step.column]}" if step.column in plan.listed else step.column
    items = [_said(plan, item, shared) for item in step.items]
    if step.operation == "not":
        return f"not {items[0]}"
    if step.operation == "at least":
        return f"at least {step.count} of ({', '.join(items)})"
    return "(" + f" {step.operation} ".join(items) + ")"
