"""What people say of syncs: confirm, readd, detach, reconcile; made so at once, and told by the next delivery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from segmentry.engine.connectors.destination import Answer, DestinationStopped, Verdict
from segmentry.engine.connectors.memory import Known, Memory, MemoryDestination
from segmentry.engine.connectors.registry import open_destination
from segmentry.engine.connectors.syncing import Change, Outlook
from segmentry.engine.loading import load
from segmentry.engine.moment import Moment
from segmentry.engine.snapshot import ContactSource
from segmentry.engine.state.lease import hold
from segmentry.engine.sync_confirming import Proposal, confirm, propose
from segmentry.engine.sync_detaching import Detached, Telling, detach, detaching
from segmentry.engine.sync_listing import due, listing
from segmentry.engine.sync_reading_back import LOST_CONTACTS, ReadBack, Reading, reconcile
from segmentry.engine.sync_returning import Returned, readd
from segmentry.errors import DecisionError, LeaseHeld, NotFound, SegmentryError
from tests.syncs.conftest import LIST, Synced

UK, FR = "UK", "FR"
Opened = Any


def people(**countries: str) -> Mapping[str, Sequence[Any]]:
    return {"id": list(countries), "country": list(countries.values())}


def newest(shop: Synced) -> ContactSource:
    return Moment.at(load(shop.root), shop.now).contacts


def proposed(shop: Synced, answer: str = "send", target: str | None = None, **more: Any) -> Proposal:
    wanted = ("uk", "crm", target)
    return propose(load(shop.root).require(), shop.state, wanted, answer, shop.now, lambda: newest(shop), {}, **more)


def confirmed(shop: Synced, answer: str = "send", target: str | None = None, **more: Any) -> Proposal:
    return confirm(load(shop.root).require(), shop.state, ("uk", "crm", target), answer, shop.now, lambda: newest(shop), **more)


def readded(shop: Synced, *keys: object, **more: Any) -> list[Returned]:
    return readd(load(shop.root).require(), shop.state, keys, shop.now, lambda: newest(shop), **more)


def reconciled(shop: Synced, *, opened: Opened = open_destination, **more: Any) -> list[ReadBack]:
    reading = Reading(load(shop.root).require(), shop.state, shop.now, lambda: newest(shop), {}, opened)
    return reconcile(reading, **more)


def detached(shop: Synced, *, remove: bool, target: str | None = None) -> Detached:
    telling = Telling({}, lambda: shop.now, sleep=lambda _: None, draw=lambda: 0.5)
    return detach(load(shop.root).require(), shop.state, ("uk", "crm", target), telling, remove=remove)


def waiting(shop: Synced, mode: str = "mode: mirror") -> None:
    """Two of three are in, and nobody has said what becomes of them."""
    shop.people(people(a=UK, b=UK, c=FR))
    shop.sync(mode)
    shop.hour("2026-01-02")


def started(shop: Synced) -> None:
    """Two of three are in the list."""
    shop.people(people(a=UK, b=UK, c=FR))
    shop.sync()
    shop.hour("2026-01-02")
    shop.at("2026-01-02T01:00")


def back_in(memory: Memory, contact: str) -> None:
    """The person may be added again."""
    for one in memory.people(LIST).values():
        if one.contact == contact:
            one.left = None


class Lively(MemoryDestination):
    """A destination where something is live."""

    def look(self, target: Any) -> Outlook:
        warnings = ("the live flow `Hello` starts for whoever is added to it",)
        return Outlook("People", 7, warnings, starts=warnings)


class Untagged(MemoryDestination):
    """A destination with something to say, by which nothing starts."""

    def look(self, target: Any) -> Outlook:
        return Outlook("People", 0, ("There is no tag `vip` yet.",))


class Unreadable(MemoryDestination):
    def look(self, target: Any) -> Outlook:
        raise DestinationStopped("the key is refused")

    def members(self, target: Any) -> Any:
        raise DestinationStopped("the key is refused")


class Another(MemoryDestination):
    def account(self) -> str | None:
        return "other"


def by(kind: type[MemoryDestination]) -> Opened:
    """Opens the memory's own as another kind."""

    def opened(name: str, settings: Any, context: Any) -> Any:
        found = open_destination(name, settings, context)
        found.__class__ = kind
        return found

    return opened


# ---------------------------------------------------------------- confirm


def test_a_confirmation_to_send_is_told_by_the_next_delivery(shop: Synced) -> None:
    waiting(shop)
    assert (proposed(shop).figures["members"], proposed(shop).added) == (2, 2)
    assert shop.syncs() == [("uk", LIST, "unconfirmed", None)]
    assert confirmed(shop).added == 2
    assert shop.syncs() == [("uk", LIST, "active", "send")]
    shop.tell()
    assert shop.members == {"a", "b"}
    shop.people(people(a=FR, b=UK, c=UK))
    shop.hour("2026-01-03")
    assert shop.members == {"b", "c"}


def test_a_confirmation_to_skip_lets_those_who_are_in_be(shop: Synced) -> None:
    waiting(shop)
    assert (proposed(shop, "skip").baseline, confirmed(shop, "skip").added) == (2, 0)
    shop.tell()
    assert shop.members == set()
    shop.people(people(a=UK, b=UK, c=UK))
    shop.hour("2026-01-03")
    assert shop.members == {"c"}


def test_what_was_confirmed_is_said_and_not_changed(shop: Synced) -> None:
    waiting(shop)
    confirmed(shop, "skip")
    again = confirmed(shop, "send")
    assert again.before == "skip"
    assert again.lines() == ["uk to crm, list:people: confirmed already, with --skip; nothing is changed"]
    shop.tell()
    assert shop.members == set()


def test_the_answer_counts_for_that_exact_list_only(shop: Synced) -> None:
    waiting(shop)
    confirmed(shop)
    text = (shop.root / "segments" / "uk.yml").read_text()
    (shop.root / "segments" / "uk.yml").write_text(text.replace("people", "others"))
    shop.hour("2026-01-03")
    assert ("uk", "list:others", "unconfirmed", None) in shop.syncs()


def test_several_syncs_to_one_destination_need_a_target(shop: Synced) -> None:
    shop.people(people(a=UK, b=FR))
    shop.sync("mode: add")
    path = shop.root / "segments" / "uk.yml"
    path.write_text("where: \"country = 'UK'\"\nsync: [{destination: crm, list: people}, {destination: crm, list: more}]\n")
    shop.hour("2026-01-02")
    with pytest.raises(DecisionError, match="say --target list:more or --target list:people"):
        proposed(shop)
    with pytest.raises(NotFound, match="did you mean `list:more`"):
        proposed(shop, target="list:mor")
    confirmed(shop, target="list:more")
    shop.tell()
    assert (shop.members, shop.memory.members("list:more")) == (set(), {"a"})


def test_what_there_is_not_is_said(shop: Synced) -> None:
    waiting(shop)
    workspace = load(shop.root).require()
    for wanted, words in (
        (("ukk", "crm", None), "no segment `ukk`; did you mean `uk`"),
        (("uk", "cmr", None), "no destination `cmr`; did you mean `crm`"),
    ):
        with pytest.raises(NotFound, match=words):
            propose(workspace, shop.state, wanted, "send", shop.now, lambda: newest(shop), {})


def test_a_proposal_shows_what_is_there_and_that_a_mirror_enrolls_outside_the_ledger(shop: Synced) -> None:
    waiting(shop)
    found = proposed(shop, open=by(Lively))
    assert found.lines()[-1] == "there it is `People`, with 7 in it now"
    assert found.warnings[0].startswith("the live flow `Hello`")
    assert "is an enrollment outside Segmentry's ledger" in found.warnings[1]
    assert "`mirror`" in found.warnings[1]


def test_what_starts_nothing_is_no_enrollment_outside_the_ledger(shop: Synced) -> None:
    waiting(shop)
    assert proposed(shop, open=by(Untagged)).warnings == ["There is no tag `vip` yet."]


@pytest.mark.parametrize(("kind", "words"), [(Unreadable, "the key is refused"), (Another, "has account `other`")])
def test_a_destination_that_cant_be_read_is_said(shop: Synced, kind: type[MemoryDestination], words: str) -> None:
    shop.destinations = "{crm: {type: memory, needs_address: true, account: mine}}" if kind is Another else shop.destinations
    waiting(shop)
    found = proposed(shop, open=by(kind))
    assert found.outlook is None
    assert words in str(found.unread)
    assert found.added == 2


@pytest.mark.parametrize("edit", ["rule", "suppress", "zone"])
def test_what_was_edited_since_the_run_is_refused(shop: Synced, edit: str) -> None:
    waiting(shop)
    if edit == "rule":
        shop.sync("mode: mirror", where="country = 'FR'")
    elif edit == "suppress":
        shop.further["suppress"] = "\"country = 'UK'\""
        shop.write_config()
    else:
        shop.zone = "Europe/London"
        shop.write_config()
    with pytest.raises(DecisionError, match="edited since run 1"):
        confirmed(shop)


def test_a_run_meanwhile_makes_another_question_of_it(shop: Synced) -> None:
    waiting(shop)
    shop.people(people(a=UK, b=UK, c=UK))
    shop.hour("2026-01-03")
    with pytest.raises(DecisionError, match="run 2 was accepted meanwhile"):
        confirmed(shop, run=1)
    assert shop.syncs() == [("uk", LIST, "unconfirmed", None)]


def test_nothing_is_confirmed_where_nothing_is_sent_or_before_a_run(shop: Synced) -> None:
    shop.deliver = False
    waiting(shop)
    with pytest.raises(DecisionError, match="sends nothing"):
        confirmed(shop)
    shop.deliver = True
    shop.write_config()
    with pytest.raises(DecisionError, match="did not deliver: recompute"):
        confirmed(shop)


def test_words_take_the_runs_lease(shop: Synced) -> None:
    waiting(shop)
    with hold(shop.state.catalog, shop.state.workspace, "default"), pytest.raises(LeaseHeld):
        confirmed(shop)
    assert shop.syncs() == [("uk", LIST, "unconfirmed", None)]


def test_an_unconfirmed_sync_that_comes_back_with_skip_lets_those_who_are_in_be(shop: Synced) -> None:
    waiting(shop)
    shop.sync("")
    shop.hour("2026-01-03")
    shop.sync("existing: skip")
    shop.hour("2026-01-04")
    assert shop.members == set()
    assert shop.rows()["a"] == ("baseline", None)


# ---------------------------------------------------------------- readd


def test_who_left_comes_back_by_a_word_only(shop: Synced) -> None:
    started(shop)
    shop.memory.take_out(LIST, "a")
    shop.people(people(a=FR, b=UK, c=FR))
    shop.hour("2026-01-03")
    shop.people(people(a=UK, b=UK, c=FR))
    shop.hour("2026-01-04")
    assert shop.members == {"b"}
    back_in(shop.memory, "a")
    assert [(one.freed, one.added) for one in readded(shop, "a")] == [(1, 1)]
    shop.tell()
    assert shop.members == {"a", "b"}


def test_a_change_after_a_word_has_an_id_of_its_own(shop: Synced) -> None:
    started(shop)
    first = {change.id for batch in shop.memory.synced for change in batch.changes}
    shop.memory.take_out(LIST, "a")
    shop.at("2026-01-02T02:00")
    reconciled(shop)
    back_in(shop.memory, "a")
    readded(shop, "a")
    shop.tell()
    assert shop.members == {"a", "b"}
    assert not first & {change.id for change in shop.memory.synced[-1].changes}


def test_who_is_unsubscribed_there_stays_out_all_the_same(shop: Synced) -> None:
    started(shop)
    shop.memory.take_out(LIST, "a", "unsubscribed")
    shop.people({"id": ["a", "b"], "country": [UK, UK], "email": ["new@x.example", "cb@example.com"]})
    shop.hour("2026-01-03")
    assert shop.rows()["a"] == ("left", None)
    readded(shop, "a")
    shop.tell()
    assert shop.members == {"b"}
    assert shop.rows()["a"] == ("left", None)


def test_another_contact_with_the_address_comes_back_with_it(shop: Synced) -> None:
    started(shop)
    shop.memory.take_out(LIST, "a")
    reconciled(shop)
    shop.people({"id": ["a", "b", "z"], "country": [FR, UK, UK], "email": ["ca@example.com", "cb@example.com", "CA@example.com"]})
    shop.hour("2026-01-03")
    assert shop.rows()["z"] == ("left", None)
    back_in(shop.memory, "a")
    assert [one.added for one in readded(shop, "z", segment="uk", destination="crm")] == [1]
    shop.tell()
    assert {one.address for one in shop.memory.people(LIST).values() if one.inside} == {"ca@example.com", "cb@example.com"}
    shop.hour("2026-01-04")
    assert shop.rows()["z"] == ("member", None)


def test_readd_of_who_never_left_and_of_what_there_is_not(shop: Synced) -> None:
    started(shop)
    assert readded(shop, "b", "nobody") == []
    with pytest.raises(NotFound, match="no segment `fr`"):
        readded(shop, "b", segment="fr")


# ---------------------------------------------------------------- reconcile


def test_reconcile_of_what_is_in_step_changes_nothing(shop: Synced) -> None:
    started(shop)
    shop.memory.put_in(LIST, "friend@x.example")
    (found,) = reconciled(shop)
    assert (found.there, found.acknowledged, found.left, found.found, found.by_hand, found.unsettled) == (3, 2, 0, 0, 1, 0)
    assert (found.add, found.update, found.remove, found.note) == (0, 0, 0, None)
    assert shop.hour("2026-01-03").destinations == {}  # type: ignore[union-attr]


def test_who_is_not_there_any_more_left_and_is_never_put_back(shop: Synced) -> None:
    started(shop)
    shop.memory.take_out(LIST, "a")
    back_in(shop.memory, "a")  # the destination would take them
    assert [one.left for one in reconciled(shop, dry_run=True)] == [1]
    assert shop.rows()["a"] == ("member", None)
    assert [one.left for one in reconciled(shop)] == [1]
    assert shop.rows()["a"] == ("left", None)
    shop.people({"id": ["z", "b"], "country": [UK, UK], "email": ["ca@example.com", "cb@example.com"]})
    shop.hour("2026-01-03")
    assert shop.members == {"b"}


def test_who_should_be_there_and_is_counts_as_a_member(shop: Synced) -> None:
    started(shop)
    shop.memory.put_in(LIST, "cc@example.com")
    shop.people(people(a=UK, b=UK, c=UK))
    shop.hour("2026-01-03", tell=False)
    assert shop.rows()["c"] == ("out", "add")
    (found,) = reconciled(shop)
    assert (found.found, found.by_hand, found.add, found.update) == (1, 0, 0, 1)
    assert shop.rows()["c"] == ("member", "update")  # what it knows of them is not known
    shop.tell()
    assert shop.rows()["c"] == ("member", None)


def test_who_was_in_at_the_start_and_who_left_stay_what_they_are(shop: Synced) -> None:
    shop.people(people(a=UK, b=UK, c=FR))
    shop.sync("existing: skip")
    shop.hour("2026-01-02")
    shop.memory.put_in(LIST, "ca@example.com")
    shop.at("2026-01-02T01:00")
    (found,) = reconciled(shop)
    assert (found.found, found.by_hand) == (0, 1)
    assert shop.rows()["a"] == ("baseline", None)


def test_what_was_told_a_moment_ago_is_looked_at_next_time(shop: Synced) -> None:
    started(shop)
    shop.memory.take_out(LIST, "a")
    shop.at("2026-01-02T00:05")
    (found,) = reconciled(shop)
    assert (found.left, found.unsettled) == (0, 1)
    assert shop.rows()["a"] == ("member", None)


def test_what_a_sender_was_told_meanwhile_is_newer_than_what_was_read(shop: Synced) -> None:
    started(shop)
    shop.people(people(a=UK, b=UK, c=UK))
    shop.hour("2026-01-03", tell=False)
    shop.now += timedelta(hours=1)

    class Slow(MemoryDestination):
        def members(self, target: Any) -> Any:
            yield from super().members(target)
            shop.memory.take_out(LIST, "a")
            with shop.state.catalog.writing() as connection:  # as a run would
                connection.exec_driver_sql("update synced set revision = revision + 1 where contact = 'b'")

    shop.memory.take_out(LIST, "b")
    (found,) = reconciled(shop, opened=by(Slow))
    assert found.left == 1
    assert shop.rows()["b"] == ("member", None)


def test_a_list_that_is_empty_of_a_sudden_is_shown_before_it_is_taken(shop: Synced) -> None:
    many = LOST_CONTACTS + 1
    shop.people({"id": [f"k{number}" for number in range(many)], "country": [UK] * many})
    shop.sync()
    shop.hour("2026-01-02")
    shop.at("2026-01-02T01:00")
    for one in shop.memory.people(LIST).values():
        one.inside = False
    (found,) = reconciled(shop)
    assert (found.left, found.held is not None) == (many, True)
    assert {state for state, _ in shop.rows().values()} == {"member"}
    reconciled(shop, accept_losses=True)
    assert {state for state, _ in shop.rows().values()} == {"left"}


def test_a_short_list_that_is_empty_of_a_sudden_is_shown_too_and_one_who_left_is_not(shop: Synced) -> None:
    started(shop)
    shop.at("2026-01-02T01:00")
    shop.memory.take_out(LIST, "a")
    assert reconciled(shop, dry_run=True)[0].held is None
    shop.memory.take_out(LIST, "b")
    (found,) = reconciled(shop)
    assert (found.left, found.held is not None) == (2, True)
    assert {state for state, _ in shop.rows().values()} == {"member"}


@pytest.mark.parametrize("kind", [Unreadable, Another])
def test_what_cant_be_read_stays_as_it_is(shop: Synced, kind: type[MemoryDestination]) -> None:
    shop.destinations = "{crm: {type: memory, needs_address: true}}"
    started(shop)
    shop.write_config()
    if kind is Another:
        with shop.state.catalog.writing() as connection:
            connection.exec_driver_sql("update destinations set account = 'mine'")
    shop.memory.take_out(LIST, "a")
    (found,) = reconciled(shop, opened=by(kind))
    assert found.unread is not None
    assert shop.rows()["a"] == ("member", None)


def test_reconcile_takes_the_senders_lease_and_the_runs(shop: Synced) -> None:
    started(shop)
    for purpose in ("delivery:crm", "run"):
        with hold(shop.state.catalog, shop.state.workspace, "default", purpose=purpose), pytest.raises(LeaseHeld):
            reconciled(shop)


# ---------------------------------------------------------------- detach


def test_a_sync_that_the_files_say_is_refused(shop: Synced) -> None:
    started(shop)
    for remove in (False, True):
        with pytest.raises(DecisionError, match="take it out of `sync:` there"):
            detached(shop, remove=remove)


def test_detach_forgets_and_leaves_everybody_where_they_are(shop: Synced) -> None:
    started(shop)
    shop.sync("")
    shop.hour("2026-01-03")
    assert detaching(load(shop.root), shop.state, ("uk", "crm", None)).members == 2
    assert detached(shop, remove=False).members == 2
    assert (shop.members, shop.rows()) == ({"a", "b"}, dict.fromkeys("ab", ("out", None)))  # somebody may have to erase them there
    assert listing(load(shop.root), shop.state).height == 0
    with pytest.raises(NotFound, match="never kept in step"):
        detached(shop, remove=False)


def test_detach_takes_out_whom_it_added_and_nobody_else(shop: Synced) -> None:
    started(shop)
    shop.people(people(a=UK, b=UK, c=UK))
    shop.hour("2026-01-03")
    shop.memory.put_in(LIST, "friend@x.example")
    shop.memory.take_out(LIST, "b")
    shop.remove("uk")
    shop.segment("other", "country = 'FR'")
    shop.hour("2026-01-04")
    found = detached(shop, remove=True)
    assert (found.members, found.removed, found.left, found.waiting) == (3, 2, 1, 0)
    assert (shop.members, shop.memory.wrongs) == ({"friend@x.example"}, [])
    assert shop.rows() == {"a": ("out", None), "b": ("left", None), "c": ("out", None)}


def test_detach_takes_out_who_was_perhaps_added(shop: Synced) -> None:
    started(shop)

    def lost(change: Change) -> Answer:
        shop.memory.people(LIST)["c"] = Known("c", change.address, "c", inside=True, ours=True)
        return Answer(Verdict.LATER, "lost", maybe=True)

    shop.memory.sync_script.append(lost)
    shop.people(people(a=UK, b=UK, c=UK))
    shop.hour("2026-01-03")
    assert shop.rows()["c"] == ("out", "add")
    shop.remove("uk")
    shop.segment("other", "country = 'FR'")
    shop.hour("2026-01-04")
    found = detached(shop, remove=True)
    assert (found.removed, found.waiting, shop.members) == (3, 0, set())


def test_who_left_is_known_when_a_detached_sync_begins_anew(shop: Synced) -> None:
    started(shop)
    shop.memory.take_out(LIST, "a")
    reconciled(shop)
    shop.sync("")
    shop.hour("2026-01-03")
    detached(shop, remove=False)
    back_in(shop.memory, "a")
    shop.sync("mode: mirror")
    shop.hour("2026-01-04")
    assert ("uk", LIST, "unconfirmed", None) in shop.syncs()
    assert confirmed(shop).added == 1
    shop.tell()
    assert shop.rows()["a"] == ("left", None)


def test_removals_that_come_to_nothing_are_kept_and_gone_on_with(shop: Synced) -> None:
    started(shop)
    shop.sync("")
    shop.hour("2026-01-03")
    shop.memory.sync_script.append(DestinationStopped("it is down"))
    found = detached(shop, remove=True)
    assert (found.removed, found.waiting) == (0, 2)
    assert "it is down" in found.messages[0]
    shop.hour("2026-01-03T01:00")
    found = detached(shop, remove=True)
    assert (found.removed, found.waiting, shop.members) == (2, 0, set())


def test_nobody_is_taken_out_of_a_destination_that_is_gone(shop: Synced) -> None:
    started(shop)
    shop.sync("")
    shop.destinations = "{other: {type: memory}}"
    shop.hour("2026-01-03")
    with pytest.raises(SegmentryError, match="no destination `crm` any more"):
        detached(shop, remove=True)
    assert shop.rows()["a"] == ("member", None)
    assert detached(shop, remove=False).members == 2


# ---------------------------------------------------------------- looking


def test_the_list_says_what_is_out_of_step_and_why(shop: Synced) -> None:
    started(shop)
    shop.memory.take_out(LIST, "a", "unsubscribed")
    shop.people(people(a=FR, b=UK, c=UK))
    shop.hour("2026-01-03", tell=False)
    row = listing(load(shop.root), shop.state).to_dicts()[0]
    assert (row["members"], row["add"], row["remove"], row["reasons"]) == (2, 1, 1, None)
    shop.tell()
    row = listing(load(shop.root), shop.state).to_dicts()[0]
    assert (row["members"], row["left"], row["reasons"]) == (2, 1, "unsubscribed (1)")


def test_a_sync_that_no_run_has_seen_is_new(shop: Synced) -> None:
    shop.sync()
    shop.write_config()
    assert listing(load(shop.root), None).select("segment", "status").rows() == [("uk", "new")]


def test_what_would_be_told_is_counted_and_nothing_is_sent(shop: Synced) -> None:
    shop.destinations = "{crm: {type: memory, batch: 2, needs_address: true}}"
    shop.people(people(a=UK, b=UK, c=UK, d=FR))
    shop.sync(enroll="")
    shop.hour("2026-01-02", tell=False)
    found = due(load(shop.root), shop.state, shop.now)
    (row,) = found.rows.to_dicts()
    assert (row["what"], row["target"], row["add"], row["calls"], row["later"]) == ("uk", LIST, 3, 2, 0)
    assert shop.members == set()
    with pytest.raises(NotFound, match="did you mean `crm`"):
        due(load(shop.root), shop.state, shop.now, ["cmr"])


def test_what_waits_for_a_word_is_said(shop: Synced) -> None:
    waiting(shop)
    found = due(load(shop.root), shop.state, shop.now)
    assert found.rows["status"].to_list() == ["unconfirmed"]
    assert found.messages == ("2 wait for a word: segmentry sync confirm uk crm --target list:people --send | --skip",)


def test_a_removal_that_is_not_due_yet_is_later(shop: Synced) -> None:
    started(shop)
    shop.people(people(b=UK, c=FR))
    shop.hour("2026-01-03", tell=False)
    (row,) = due(load(shop.root), shop.state, shop.now).rows.to_dicts()
    assert (row["remove"], row["later"]) == (0, 1)
    assert isinstance(due(load(shop.root), shop.state, shop.now).rows, pl.DataFrame)
