"""The list of destinations, which opens none, and one that is asked: whatever it answers, nothing is told and no secret is shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from segmentry.engine.asking import Inquiry, ask
from segmentry.engine.checking_online import ask_all, online_problems
from segmentry.engine.connectors.destination import Destination, DestinationStopped
from segmentry.engine.connectors.memory import MemoryDestination, memory
from segmentry.engine.connectors.settings import MemorySettings
from segmentry.engine.connectors.syncing import Outlook, Place
from segmentry.engine.destinations import destinations, where
from segmentry.engine.loading import load
from segmentry.engine.state.holds import pause
from segmentry.engine.state.outbox import Pinned
from segmentry.errors import DestinationError
from tests.state.conftest import day
from tests.syncs.conftest import LIST, Synced

PEOPLE = {"id": ["a", "b", "c"], "country": ["UK", "UK", "FR"]}
NOW = day("2026-01-03")


@pytest.fixture
def started(shop: Synced) -> Synced:
    """a and b are in the list, and are enrolled in nothing: they were in before."""
    shop.sequences = "{welcome: {destination: crm}, quiet: {destination: crm, paused: true}}"
    shop.people(PEOPLE)
    shop.sync(enroll="enroll: welcome\n")
    shop.hour("2026-01-02")
    return shop


def listed(shop: Synced) -> dict[str, dict[str, Any]]:
    return {row["destination"]: row for row in destinations(load(shop.root), shop.state, NOW).to_dicts()}


class Told(MemoryDestination):
    """The double, which says what it is told to say."""

    whose: str | Exception | None = "acc-1"
    sees: Outlook | Exception = Outlook("People", 2)
    has: tuple[Place, ...] | Exception = ()

    def account(self) -> str | None:
        return said(self.whose)

    def look(self, target: object) -> Outlook:
        return said(self.sees)

    def places(self) -> tuple[Place, ...]:
        return said(self.has)


def said(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer


def opens(**says: Any) -> Callable[..., Destination]:
    """What opens a double that says so; it raises an `error` instead."""
    kind = type("Double", (Told,), {key: value for key, value in says.items() if key != "error"})

    def open(name: str, _settings: object, context: Any) -> Destination:
        said(says.get("error"))
        found: Destination = kind(MemorySettings(type="memory"), memory(context.workspace, context.environment, name))
        return found

    return open


def asked(shop: Synced, *, pinned: str | None = None, **says: Any) -> Inquiry:
    return ask(load(shop.root), "crm", {}, lambda: NOW, pinned=Pinned(pinned), open=opens(**says))


# ---------------------------------------------------------------- the list


def test_the_list_says_what_uses_each_and_what_is_due(started: Synced) -> None:
    started.people({"id": ["a", "b", "c"], "country": ["UK", "FR", "UK"]})
    started.hour("2026-01-02T12:00", tell=False)
    found = listed(started)["crm"]
    assert (found["type"], found["sequences"], found["syncs"]) == ("memory", ["welcome", "quiet (paused)"], [f"uk ({LIST})"])
    assert (found["due"], found["later"]) == (3, 0), "c is enrolled and added, b is removed"
    assert (found["paused"], found["stopped"]) == (None, None)


def test_the_list_says_what_is_paused_or_stopped_and_why(started: Synced) -> None:
    started.people({"id": ["a", "b", "c"], "country": ["UK"] * 3})
    started.memory.sync_script.append(DestinationStopped("the key is refused"))
    started.hour("2026-01-02T12:00")
    with started.state.catalog.writing() as connection:
        pause(connection, "crm", NOW, "the receiver asked for it")
    found = listed(started)["crm"]
    assert (found["stopped"], found["paused"]) == ("the key is refused", "it is paused: the receiver asked for it")


def test_the_list_needs_no_state_no_secret_and_no_destination(shop: Synced) -> None:
    shop.destinations = '{crm: {type: klaviyo, key: "${NOT_SET}", account: Ab12Cd}, lake: {type: files, path: out/, format: csv}}'
    shop.sync("")
    path = shop.root / "segments" / "uk.yml"
    path.write_text(path.read_text() + "sync: {destination: lake, what: [changes, members]}\n")
    shop.write_config()
    first, second = destinations(load(shop.root), None, NOW).to_dicts()
    assert (first["account"], first["due"], first["syncs"]) == ("Ab12Cd", None, [])
    assert (second["where"], second["syncs"]) == ("out/", ["uk (changes, members)"])


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://crm.example", "https://crm.example"),
        ("https://crm.example:8443/", "https://crm.example:8443"),
        ("https://hooks.example/T0/B0/s3cr3t", "https://hooks.example/…"),
        ("https://hooks.example?token=s3cr3t", "https://hooks.example/…"),
        ("https://user:s3cr3t@hooks.example/x", "https://…"),
        ("https://user:s3/cr3t@hooks.example", "https://…"),
        ("${HOOK}", "${HOOK}"),
        ("https://${HOST}/s3cr3t", "https://${HOST}/…"),
    ],
)
def test_of_an_address_nothing_is_shown_that_may_be_a_secret(url: str, shown: str) -> None:
    assert where({"type": "webhook", "url": url}) == shown


# ---------------------------------------------------------------- one that is asked


def test_one_that_is_asked_says_whose_it_is_and_what_there_is(started: Synced) -> None:
    places = (Place("list", "people", "People", 2), Place("list", "other", "Others"))
    found = asked(started, has=places, sees=Outlook("People", 2, ("The live flow `Hi` starts.",)))
    assert (found.account, found.places, found.problems) == ("acc-1", places, [])
    [seen] = found.targets
    assert (str(seen.target), [str(use) for use in seen.uses]) == (LIST, ["segment uk"])
    assert found.warnings == [f"{LIST}: The live flow `Hi` starts."]
    assert json.loads(json.dumps(found.to_json()))["targets"][0]["members"] == 2


def test_what_there_is_is_not_asked_for_where_only_what_is_in_use_matters(started: Synced) -> None:
    loaded = load(started.root)
    [found] = ask_all(loaded, {}, lambda: NOW, {}, open=opens(has=DestinationStopped("too many lists")))
    assert (found.problems, len(found.targets)) == ([], 1)
    assert online_problems(loaded, [found]) == []


@pytest.mark.parametrize(
    ("says", "problem"),
    [
        ({"error": DestinationError("destination `crm`: the variable K is not set")}, "destination `crm`: the variable K is not set"),
        ({"error": KeyError("s3cr3t")}, "destination `crm` can't be opened: a bug in its connector (KeyError)"),
        ({"whose": DestinationStopped("the key is refused")}, "destination `crm` can't say whose account it is: the key is refused"),
        ({"whose": ValueError("s3cr3t")}, "destination `crm` can't say whose account it is: a bug in its connector (ValueError)"),
        ({"has": DestinationStopped("no right to")}, "destination `crm` can't say what there is: no right to"),
        ({"sees": DestinationStopped("no such list")}, "destination `crm` can't be asked for list:people: no such list"),
        ({"sees": IndexError("s3cr3t")}, "destination `crm` can't be asked for list:people: a bug in its connector (IndexError)"),
    ],
)
def test_what_is_in_the_way_is_said_in_words(started: Synced, says: dict[str, Any], problem: str) -> None:
    assert asked(started, **says).problems == [problem]


def test_another_account_is_asked_nothing_more(started: Synced) -> None:
    [problem] = asked(started, pinned="acc-0", sees=AssertionError(), has=AssertionError()).problems
    assert problem == (
        "destination `crm` has account `acc-1`, and was first used with `acc-0`: another account needs a destination of another name; "
        "nothing would be sent"
    )
    started.destinations = "{crm: {type: memory, batch: 100, account: acc-2}}"
    started.write_config()
    assert asked(started, has=AssertionError()).problems == [
        "destination `crm` has account `acc-1`, and its `account:` says `acc-2`; nothing would be sent"
    ]


@pytest.mark.parametrize("says", [{}, {"whose": ValueError()}, {"has": ValueError()}, {"sees": DestinationStopped("no")}])
def test_whatever_happens_it_is_closed(started: Synced, says: dict[str, Any]) -> None:
    closed: list[str] = []
    asked(started, close=lambda _: closed.append("closed"), **says)
    assert closed == ["closed"]


# ---------------------------------------------------------------- the check of it all


def test_what_is_so_of_several_is_said_once_with_the_others(started: Synced) -> None:
    path = started.root / "segments" / "fr.yml"
    path.write_text("where: \"country = 'FR'\"\nsync:\n  - {destination: crm, list: others}\n")
    loaded = load(started.root)
    found = ask_all(loaded, {}, lambda: NOW, {}, open=opens(sees=Outlook("x", 1, ("`Hello` is live.",), starts=("`Hello` is live.",))))
    [warning] = online_problems(loaded, found)
    assert (warning.code, warning.message) == ("W323", "crm, list:others: `Hello` is live")
    assert warning.location is not None
    assert (warning.location.file, warning.location.line, warning.location.column) == ("segments/fr.yml", 3, 30)
    assert warning.notes[0] == "also for segment uk (list:people)"
    assert "outside Segmentry's ledger" in warning.notes[1], "uk is a mirror"


def test_what_starts_nothing_is_no_enrollment_outside_the_ledger(started: Synced) -> None:
    loaded = load(started.root)
    found = ask_all(loaded, {}, lambda: NOW, {}, open=opens(sees=Outlook("x", 1, ("Double opt-in is on.",))))
    [warning] = online_problems(loaded, found)
    assert (warning.message, warning.notes) == ("crm, list:people: Double opt-in is on", ())


def test_a_list_that_is_not_there_is_an_error_where_it_is_named(started: Synced) -> None:
    loaded = load(started.root)
    [error] = online_problems(loaded, ask_all(loaded, {}, lambda: NOW, {}, open=opens(sees=DestinationStopped("no such list"))))
    assert (error.code, str(error.severity)) == ("W322", "error")
    assert error.location is not None
    assert error.location.text[error.location.column - 1 :].startswith("people")


def test_of_no_destinations_none_is_asked(shop: Synced) -> None:
    shop.destinations = "{}"
    shop.sync("")
    shop.write_config()
    assert ask_all(load(shop.root), {}, lambda: NOW, {}, open=opens(error=AssertionError())) == []
