"""Sequences in the builder form: a list of steps, each an event entry without a measure.

sequence:
  - {event: cart_added}
  - {event: order_placed, did: false, where: {rules: [{field: cart_id, operator: equals, value: {step: cart_added, field: cart_id}}]}}
within: 1 day
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

from segmentry.rules.builder_words import ENTRIES, STEP_KEYS, TIME_KEYS
from segmentry.rules.diagnostics import Place
from segmentry.rules.syntax import Call, Name, Named, Not, Syntax, Text

Path = tuple[str | int, ...]
Entry = dict[str, object]


class Reader(Protocol):
    """The part of a reader of entries that steps need. Every method answers None when it has told why there is nothing."""

    def problem(self, code: str, message: str, path: Path, hint: str | None = None) -> None: ...

    def only_known(self, entry: Mapping[object, object], known: Sequence[str], beside: str, path: Path) -> bool: ...

    def event_name(self, entry: Mapping[object, object], path: Path) -> str | Text | None: ...

    def conditions(self, entry: Mapping[object, object], path: Path, depth: int) -> tuple[Syntax, ...]: ...

    def flag(self, entry: Mapping[object, object], key: str, path: Path) -> bool | None: ...

    def named(self, entry: Mapping[object, object], keys: Sequence[str], path: Path) -> tuple[Named, ...]: ...


def read_sequence(reader: Reader, entry: Mapping[object, object], path: Path, depth: int) -> Syntax | None:
    """A `sequence:` entry."""
    steps, here = entry["sequence"], (*path, "sequence")
    if not isinstance(steps, Sequence) or isinstance(steps, (str, bytes)):
        reader.problem("R120", "`sequence` is a list of steps", here, "begin every step with `- `, as in `- {event: order_placed}`")
        return None
    read = [_read_step(reader, step, (*here, number), depth + 1) for number, step in enumerate(steps)]
    named = reader.named(entry, ENTRIES["sequence"][1:], path)
    fine = tuple(step for step in read if step is not None)
    return Call("sequence", fine, named, place=Place(path=here)) if len(fine) == len(read) else None


def _read_step(reader: Reader, step: object, path: Path, depth: int) -> Syntax | None:
    if not isinstance(step, Mapping) or "event" not in step:
        reader.problem("R120", "a step of a sequence is an event", path, "write `{event: order_placed}`, with `did: false` for its absence")
        return None
    known = reader.only_known(step, STEP_KEYS, "event", path)
    event = reader.event_name(step, path)
    conditions, did = reader.conditions(step, path, depth), reader.flag(step, "did", path)
    named = reader.named(step, [key for key in STEP_KEYS if key in ("as", "within", *TIME_KEYS)], path)
    if not known or event is None or did is None:
        return None
    here = Place(path=(*path, "event"))
    first = Name((event,), place=here) if isinstance(event, str) else event
    call = Call("did", (first, *conditions), named, place=here)
    return call if did else Not(call, place=here)


def write_sequence(
    call: Call, write_event: Callable[[Call, Sequence[str]], Entry | None], scalar: Callable[[Syntax], object]
) -> Entry | None:
    """The entry for a sequence; None where the form has no words for a part of it. `write_event` writes `did` with those keywords."""
    steps: list[Entry] = []
    former: set[object] = set()
    for arg in call.args:
        did = arg.item if isinstance(arg, Not) else arg
        step = write_event(did, ("as", "within")) if isinstance(did, Call) and did.name == "did" else None
        if step is None:
            return None
        if "where" in step:
            step["where"] = _with_steps(step["where"], former)
        steps.append({**step, "did": False} if isinstance(arg, Not) else step)
        name = step.get("as", step["event"])
        if isinstance(name, str) and not isinstance(arg, Not):
            former.add(name)
    entry: Entry = {"sequence": steps}
    for named in call.named:
        value = scalar(named.value)
        if named.name not in ENTRIES["sequence"] or value is None:
            return None
        entry[named.name] = value
    return entry if len(steps) > 1 else None


def _with_steps(written: object, former: AbstractSet[object]) -> object:
    """What is written in a step, with values that begin with a former step's name as the form has them."""
    if isinstance(written, list):
        return [_with_steps(one, former) for one in written]
    if not isinstance(written, dict):
        return written
    way = written.get("field")
    if len(written) == 1 and isinstance(way, list) and way[0] in former:
        return {"step": way[0], "field": way[1] if len(way) == 2 else way[1:]}
    return {key: _with_steps(one, former) for key, one in written.items()}
