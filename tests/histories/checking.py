"""What must hold after every step: the state is what the model says, and receivers saw nothing that the ledger does not own up to."""

from __future__ import annotations

from collections import Counter
from typing import TypeVar

from tests.histories.files import REPEAT_SAFE, Folder, Seen
from tests.histories.model import Model
from tests.histories.receivers import Receivers

T = TypeVar("T")

WORDS = {
    "forgotten": "forgotten before",
    "in this run": "enrolled in this run",
    "twice": "entered in this run under another key",
    "cause": "the cause",
    "enrolled": "enrolled ",
    "in the baseline": "in the baseline",
    "taken": "taken as a baseline",
    "recovered": "the first run after a recovery",
}
"""How the reason for no row begins, by the model's word for it."""


def identity(name: str) -> str:
    """What goes by a name, whatever it was called since."""
    return name.partition("_")[0]


def same(what: str, found: set[T], expected: set[T]) -> None:
    assert found == expected, f"{what}: not expected {found - expected}, missing {expected - found}"


def check(folder: Folder, model: Model, receivers: Receivers) -> None:
    """After any step."""
    check_receivers(check_state(folder, model), model, receivers)


def check_state(folder: Folder, model: Model) -> Seen:
    """What the state says, and that the model says the same."""
    seen = folder.seen()
    check_rows(seen, model)
    baselines = {(segment, sequence, str(key)) for segment, sequence, key in model.baselines}
    same("baselines", {(identity(segment), identity(sequence), key) for segment, sequence, key in seen.baselines}, baselines)
    same("pairs", {(identity(segment), identity(sequence)) for segment, sequence in seen.attached}, model.attached)
    held = {(hold.kind, hold.name, hold.run) for hold in model.open_holds()}
    same("holds", {(hold.kind, identity(hold.name), hold.run) for hold in seen.holds}, held)
    same("pauses", {identity(name) for name in seen.pauses}, model.pauses)
    check_members(folder, model)
    return seen


def check_rows(seen: Seen, model: Model) -> None:
    """One row an enrollment, with one outcome; numbers without gaps, but of who was put apart; ids that can be made anew."""
    expected = {
        id: (row.sequence, row.segment, str(row.contact), str(row.person), row.number, row.cause, row.outcome)
        for id, row in model.rows.items()
    }
    found = {
        id: (
            identity(row.sequence),
            identity(row.segment),
            row.contact,
            row.person,
            row.number,
            "data" if row.cause == "time" else row.cause,
            row.outcome,
        )
        for id, row in seen.rows.items()
    }
    different = {id: (expected.get(id), found.get(id)) for id in expected.keys() | found.keys() if expected.get(id) != found.get(id)}
    assert not different, f"expected and found: {different}"
    assert max(Counter(row[:1] + row[2:3] + row[4:5] for row in found.values()).values(), default=1) == 1
    numbers: dict[tuple[str, str], set[int]] = {}
    for sequence, _, _, person, number, *_ in found.values():
        numbers.setdefault((sequence, person), set()).add(number)
    apart = {str(key) for key in model.apart}
    assert all(one == set(range(1, len(one) + 1)) for (_, person), one in numbers.items() if person not in apart), "numbers have gaps"
    for id, row in seen.rows.items():
        assert row.outcome != "rejected" or row.reason, f"{id} has no reason"


def check_members(folder: Folder, model: Model) -> None:
    """The membership of every accepted segment."""
    it = model.accepted
    assert it is not None
    with folder.state() as state:
        accepted = state.accepted()
        assert accepted is not None
        names = {name: it.world.segments[name].name for name in it.members}
        assert set(accepted.segments) == set(names.values())
        for name, called in names.items():
            same(name, {str(key) for key in state.members(called)}, {str(key) for key in it.members[name]})


def check_receivers(seen: Seen, model: Model, receivers: Receivers) -> None:
    """Whatever was taken is owned up to; what harms if repeated was taken once."""
    for id, times in receivers.applied().items():
        if id in receivers.lost or id not in model.rows:
            continue
        row, stored = seen.rows[id], seen.deliveries[id]
        assert row.outcome in ("sent", "unknown", "sending") or stored.maybe, f"{id} was taken, and is {row.outcome}"
        if stored.destination not in REPEAT_SAFE and id not in receivers.again:
            assert times == 1, f"{id} was taken {times} times"
    for id, row in model.rows.items():
        if row.outcome == "sent" and id not in receivers.lost and seen.rows[id].reason is None:
            assert id in receivers.applied(), f"{id} is sent, and nobody took it"


def check_run(folder: Folder, model: Model, run: int) -> None:
    """After an accepted run: its changes; and every entry has, for each sequence of its segment, one row or a reason for none."""
    with folder.state() as state:
        changes, skipped = state.stored_changes(run), state.skipped(run)
    found = {
        (identity(segment), str(contact), change, "data" if cause == "time" else cause)
        for segment, contact, change, cause, _ in changes.iter_rows()
    }
    same("changes", found, {(segment, str(contact), change, cause) for segment, contact, change, cause in model.moves})
    reasons = {(identity(segment), identity(sequence), contact): reason for segment, sequence, contact, reason in skipped.iter_rows()}
    expected = {(segment, sequence, str(contact)): word for (segment, sequence, contact), word in model.skipped.items()}
    same("entries without a row", set(reasons), set(expected))
    for entry, reason in reasons.items():
        assert reason.startswith(WORDS[expected[entry]]), (entry, reason, expected[entry])
