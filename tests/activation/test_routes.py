"""A sequence gets another destination, or its own goes, while rows wait: none is lost, none that may have arrived is repeated."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from segmentry.engine.deliveries import deliveries, settle
from segmentry.engine.delivering import Delivered, deliver
from segmentry.engine.loading import load
from segmentry.engine.state.schema import DELIVERIES, ENROLLMENTS
from tests.activation.conftest import Enrolling, Shelf
from tests.state.conftest import day

BOTH = "{crm: {type: memory}, other: {type: memory}}"
ONE = "{other: {type: memory}}"


def begin(shop: Enrolling) -> None:
    shop.destinations = BOTH
    shop.sequences = "{welcome: {destination: crm}, offer: {destination: crm}}"
    shop.segment("vip", "spend > 10", enroll="[welcome, offer]")
    shop.people({"id": [1, 2], "spend": [5, 5]})
    shop.run("2026-01-01")
    shop.people({"id": [1, 2], "spend": [50, 5]})
    shop.run("2026-01-02")


@pytest.fixture
def waiting(shelf: Shelf) -> Enrolling:
    """1 is pending in `welcome` and `offer`, both of which go to `crm`."""
    return shelf.take(begin)


def send(shop: Enrolling, at: str) -> Delivered:
    return deliver(shop.state, load(shop.root).require(), environ={}, clock=lambda: day(at), sleep=lambda _: None)


def change(shop: Enrolling, outcome: str, **values: Any) -> None:
    """What a sender left of all rows."""
    with shop.state.catalog.writing() as connection:
        connection.execute(update(ENROLLMENTS).values(outcome=outcome))
        if values:
            connection.execute(update(DELIVERIES).values(**values))


def where(shop: Enrolling) -> dict[str, tuple[str, str]]:
    """By sequence: the destination of its row, and what it is."""
    rows = deliveries(shop.state).select("sequence", "destination", "outcome").iter_rows()
    return {sequence: (destination, outcome) for sequence, destination, outcome in rows}


def redirect(shop: Enrolling, destinations: str = BOTH, offer: str = "crm") -> None:
    """`welcome` goes to `other`, by the files."""
    shop.destinations = destinations
    shop.sequences = f"{{welcome: {{destination: other}}, offer: {{destination: {offer}}}}}"
    shop.write_config()


def test_what_waits_goes_where_its_sequence_goes_from_the_next_run_on(waiting: Enrolling) -> None:
    redirect(waiting)
    told = send(waiting, "2026-01-02T01:00").destinations["crm"]
    assert (told.sent, told.left) == (1, 1)
    assert told.messages == ("1 of `welcome` are left, as it goes to `other` now; the next run hands them on",)
    waiting.run("2026-01-03")
    assert where(waiting) == {"offer": ("crm", "sent"), "welcome": ("other", "pending")}
    assert send(waiting, "2026-01-03").destinations["other"].sent == 1
    assert where(waiting) == {"offer": ("crm", "sent"), "welcome": ("other", "sent")}


def test_what_waits_for_a_destination_that_is_gone_goes_where_its_sequence_goes(waiting: Enrolling) -> None:
    redirect(waiting, ONE, offer="other")
    waiting.run("2026-01-03")
    assert send(waiting, "2026-01-03").destinations["other"].sent == 2


@pytest.mark.parametrize("outcome", ["held", "paused", "waiting"])
def test_what_waits_for_something_else_waits_for_its_new_destination(waiting: Enrolling, outcome: str) -> None:
    change(waiting, outcome)
    redirect(waiting)
    waiting.run("2026-01-03")
    assert where(waiting)["welcome"][0] == "other"
    assert where(waiting)["offer"] == ("crm", where(waiting)["welcome"][1])


def test_what_may_have_arrived_at_the_former_destination_waits_for_a_person(waiting: Enrolling) -> None:
    change(waiting, "pending", maybe=True, attempts=1)
    redirect(waiting)
    waiting.run("2026-01-03")
    assert where(waiting) == {"offer": ("crm", "pending"), "welcome": ("crm", "unknown")}
    settle(waiting.state, "retry", list(deliveries(waiting.state, outcome="unknown")["id"]), day("2026-01-03"))
    waiting.run("2026-01-04")
    assert where(waiting)["welcome"] == ("other", "pending"), "somebody said that it may go again"


def test_what_was_under_way_to_a_destination_that_is_gone_waits_for_a_person(waiting: Enrolling) -> None:
    change(waiting, "sending", lease=7, attempts=1)
    redirect(waiting, ONE, offer="other")
    waiting.run("2026-01-03")
    assert where(waiting) == {"offer": ("crm", "unknown"), "welcome": ("crm", "unknown")}
    assert {row.lease for row in waiting.outbox().values()} == {None}


def test_what_is_under_way_to_a_destination_that_is_still_there_is_left_to_its_sender(waiting: Enrolling) -> None:
    change(waiting, "sending", lease=7, attempts=1)
    redirect(waiting)
    waiting.run("2026-01-03")
    assert where(waiting) == {"offer": ("crm", "sending"), "welcome": ("crm", "sending")}


def test_rows_of_a_sequence_that_is_gone_are_left_and_told_of(waiting: Enrolling) -> None:
    waiting.sequences = "{offer: {destination: crm}}"
    waiting.segment("vip", "spend > 10", enroll="offer")
    waiting.write_config()
    told = send(waiting, "2026-01-02T01:00").destinations["crm"]
    assert (told.sent, told.left) == (1, 1)
    assert told.messages == ("1 of `welcome` are left, as segmentry.yml does not have it any more; the next run ends them",)


def test_what_waited_while_nothing_was_sent_is_not_sent_when_the_environment_begins_to_deliver(waiting: Enrolling) -> None:
    waiting.deliver = False
    waiting.run("2026-01-03")
    waiting.deliver = True
    waiting.write_config()
    told = send(waiting, "2026-01-03T01:00")
    assert told.destinations == {}
    assert told.messages == ("environment `default` delivers now, and did not at the accepted run; recompute first",)
    waiting.run("2026-01-04")
    assert {outcome for _, outcome in where(waiting).values()} == {"dropped"}
