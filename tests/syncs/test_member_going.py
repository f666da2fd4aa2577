"""Who is a member by one sync while it is to go by another, and what was said of an addition before somebody else made it."""

from __future__ import annotations

import polars as pl
import pytest

from segmentry.engine.connectors import klaviyo_importing
from segmentry.engine.connectors.destination import Answer, Verdict
from segmentry.engine.connectors.mailchimp_calls import Calls
from segmentry.engine.state import same_target
from segmentry.engine.sync_sending import SyncSender
from segmentry.sandbox import klaviyo_jobs
from segmentry.sandbox.klaviyo import KlaviyoSandbox
from tests.syncs.test_keys_there import FULL, listed, off
from tests.syncs.test_left_before import moved_unheard, readd, words
from tests.syncs.test_member_elsewhere import forgotten, not_put_in
from tests.syncs.test_member_no_more import changed_by_hand, in_mirror
from tests.syncs.test_names_before import C
from tests.syncs.test_perhaps import Ended, raising
from tests.syncs.test_same_list import W, Z, hour, inside, one_list, read_back
from tests.syncs.test_shared_addresses import A, B, Two, X, two
from tests.syncs.test_words_services import keyed

__all__ = ["two"]

BOTH = {"z": (Z, "uk"), "w": (W, "uk")}


def and_another_list(two: Two) -> None:
    """A third segment, `late`, in step with another list or tag."""
    text = (two.shop.root / "segments" / "uk.yml").read_text().replace("country = 'UK'", "club contains 'late'")
    if isinstance(two.service, KlaviyoSandbox):
        text = text.replace(two.service.lists[1].id, two.service.lists[0].id)
    else:
        text = text.replace("seg:uk", "seg:rich")
    (two.shop.root / "segments" / "late.yml").write_text(text)


def in_the_list(two: Two) -> set[str]:
    """Who is in the list of several segments, but for those who stay."""
    return {address for address, lists in listed(two).items() if "uk" in lists} - {Z, W}


def moves_apart(two: Two, former: str, now: str, *, takes_off: bool, **who: tuple[str, str]) -> None:
    """One of two contacts, who are one person there, has another address from now on; that person may have been taken off by hand."""
    if takes_off:
        off(two, former)
    for _ in range(3):
        hour(two, **who)
        assert former in in_the_list(two) or takes_off
    assert in_the_list(two) == (set() if takes_off else {former, now})


def tried_later(two: Two, contact: str, sync: int = 1) -> None:
    """What is open of a contact by a sync, the first by the segments' names, is due in some days."""
    with two.shop.state.catalog.writing() as connection:
        due = "update synced set due = '2026-12-01T00:00:00.000000+00:00' where contact = ? and sync = ? and action is not null"
        connection.exec_driver_sql(due, (contact, sync))


def days_later(two: Two) -> None:
    two.shop.at("2026-12-02")
    two.tell()


# ---------------------------------------------------------------- who goes by one, and is a member by another


@pytest.mark.parametrize("takes_off", [True, pytest.param(False, marks=FULL)])
def test_who_comes_while_its_person_goes_under_another_address(two: Two, *, takes_off: bool) -> None:
    """b and e are one person there; b gets another address in the hour in which e comes into the list by another segment."""
    one_list(two, "uk", "rich")
    and_another_list(two)
    for _ in range(2):
        hour(two, b=(B, "uk"), e=(B, "late"))
    assert in_the_list(two) == {B}
    moves_apart(two, B, C, takes_off=takes_off, b=(C, "uk"), e=(B, "late rich"))


@pytest.mark.parametrize("takes_off", [False, pytest.param(True, marks=FULL)])
def test_whom_another_segment_has_is_not_taken_off_for_an_hour(two: Two, *, takes_off: bool) -> None:
    """b and d are one person in one list by two segments, and b gets another address."""
    one_list(two, "uk", "rich")
    hour(two, b=(X, "uk"))
    hour(two, b=(X, "uk"), d=(X, "rich"))
    moves_apart(two, X, A, takes_off=takes_off, b=(A, "uk"), d=(X, "rich"))


@FULL
def test_who_is_to_go_by_a_sync_that_is_given_up_is_a_member_till_then(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """b was taken off by hand, and the removal of everybody else whom the sync added came to nothing."""
    one_list(two, "uk", "rich")
    hour(two, b=(B, "uk"))
    off(two, B)
    one_list(two, "rich")
    with monkeypatch.context() as patch:
        patch.setattr(SyncSender, "_tell", lambda _, parcel: [Answer(Verdict.LATER, "down")] * len(parcel.rows))
        assert forgotten(two, "uk", remove=True).waiting
    for _ in range(2):
        two.hour(b=(B, "rich"), z=(Z, ""), w=(W, ""))
    assert not inside(two)


@pytest.mark.parametrize("segments", [("rich", "uk"), pytest.param(("uk", "rich"), marks=FULL), pytest.param(("uk", "uk"), marks=FULL)])
def test_an_address_that_changes_hands_while_both_are_added(two: Two, segments: tuple[str, str]) -> None:
    """b was taken out by us, and comes back with another address in the hour in which d comes with the former one."""
    back, comes = segments
    in_mirror(two, "uk")
    hour(two, b=(B, "uk"))
    hour(two, b=(B, ""))
    one_list(two, "uk", "rich")
    for _ in range(2):
        hour(two, b=(C, back), d=(B, comes))
    assert inside(two) == {B, C}
    assert (two.states[back, "b"], two.states[comes, "d"]) == ("member", "member")


# ---------------------------------------------------------------- a sender that ended while it told of who was taken for a member


def killed(two: Two, monkeypatch: pytest.MonkeyPatch, **who: tuple[str, str]) -> None:
    """An hour whose sender ends after it wrote down what it is about to ask."""
    with monkeypatch.context() as patch:
        patch.setattr(SyncSender, "_record", raising(Ended()))
        patch.setattr(klaviyo_importing, "_import_one", raising(Ended()))
        patch.setattr(Calls, "change_person", raising(Ended()))
        with pytest.raises(Ended):
            hour(two, **who)


@FULL
@pytest.mark.parametrize("is_lost", [False, True])
@pytest.mark.parametrize("takes_off", [True, False])
def test_a_sender_that_ended_over_who_was_taken_for_a_member(
    two: Two, monkeypatch: pytest.MonkeyPatch, *, takes_off: bool, is_lost: bool
) -> None:
    """d was told of as b's person when the sender was killed, and b has another address by the next run."""
    one_list(two, "uk", "rich")
    hour(two, b=(B, "uk"))
    if takes_off:
        off(two, B)
    killed(two, monkeypatch, b=(B, "uk"), d=(B, "rich"))
    if is_lost:
        moved_unheard(two, monkeypatch, done=False, **BOTH, b=(C, "uk"), d=(B, "rich"))
    for _ in range(3):
        hour(two, b=(C, "uk"), d=(B, "rich"))
        assert inside(two) or takes_off
    if takes_off:
        assert C not in inside(two)
    else:
        assert inside(two) == {B, C}


# ---------------------------------------------------------------- additions of which something was said before another made them


@FULL
def test_who_was_another_person_stays_off_once_it_was_in_itself(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """d was taken for b, is another one, and its addition failed; then the other segment put it in, and it was taken off."""
    if not isinstance(two.service, KlaviyoSandbox):
        pytest.skip("at Mailchimp who has another address has another name")
    one_list(two, "uk", "rich")
    hour(two, b=(B, "uk"))
    hour(two, b=(B, ""))
    changed_by_hand(two)
    not_put_in(two, monkeypatch, b=(C, ""), d=(B, "rich"))
    hour(two, tell=False, b=(C, "uk"), d=(B, "rich"))
    tried_later(two, "d")
    two.tell()
    hour(two, tell=False, b=(C, "uk"), d=(B, "uk rich"))
    two.tell()
    assert B in inside(two)
    off(two, B)
    days_later(two)
    assert B not in inside(two)


def without_fields(two: Two, segment: str) -> None:
    """Nothing of a contact is told by this one's sync but the address."""
    rule = two.shop.root / "segments" / f"{segment}.yml"
    rule.write_text(rule.read_text().replace(", fields: {FNAME: name}", ""))


@FULL
@pytest.mark.parametrize("name", ["N", "M"])
@pytest.mark.parametrize("is_bare", [False, True])
def test_a_word_that_somebody_comes_back_is_good_for_once(two: Two, name: str, *, is_bare: bool) -> None:
    """Both segments are to put b in again. One did, b was taken off once more, and then it was the other's turn."""
    one_list(two, "uk", "rich")
    if is_bare:
        without_fields(two, "uk")
    for _ in range(2):
        hour(two, b=(B, "uk rich"))
    off(two, B)
    read_back(two)
    hour(two, b=(B, "uk rich"))
    assert not inside(two)
    workspace, state, _, _, now, newest = words(two.shop)
    assert [one.freed for one in readd(workspace, state, ["b"], now, newest)] == [1, 1]
    tried_later(two, "b")
    two.tell()
    assert inside(two) == {B}
    off(two, B)
    two.day += 1
    two.hour(name=name, tell=False, z=(Z, "uk"), w=(W, "uk"), b=(B, "uk rich"))
    days_later(two)
    assert not inside(two)


@FULL
@pytest.mark.parametrize("fate", ["job-cancelled", "job-cancelled-half"])
def test_a_job_that_was_cancelled_puts_nobody_back(two: Two, monkeypatch: pytest.MonkeyPatch, fate: str) -> None:
    """What it was to do is tried again later; meanwhile the other segment puts somebody of it in, who is taken off by hand."""
    if not isinstance(two.service, KlaviyoSandbox):
        pytest.skip("Klaviyo has such jobs")
    people = {f"m{n}": (f"m{n}@example.com", "rich") for n in range(120)}
    one_list(two, "uk", "rich")
    hour(two)
    hour(two, tell=False, **people)
    run, fates = klaviyo_jobs._run, [fate]

    def ran(world: klaviyo_jobs.World, job: klaviyo_jobs.Job) -> None:
        if fates:
            job.fate = fates.pop()
        run(world, job)

    monkeypatch.setattr(klaviyo_jobs, "_run", ran)
    two.tell()
    missing = sorted({address for address, _ in people.values()} - inside(two))
    assert missing
    assert not fates
    one = missing[0].split("@")[0]
    hour(two, tell=False, **people | {one: (missing[0], "uk rich")})
    for contact in people:
        tried_later(two, contact)
    two.tell()
    assert missing[0] in inside(two)
    off(two, missing[0])
    days_later(two)
    assert inside(two) == {address for address, _ in people.values()} - {missing[0]}


# ---------------------------------------------------------------- who was taken for a member, and is another person


@FULL
@pytest.mark.parametrize("unsubscribes", [False, True])
def test_whose_address_was_somebody_elses_is_put_in_whatever_that_one_wants(two: Two, *, unsubscribes: bool) -> None:
    """b's profile got another address by hand, and unsubscribed under it; d has the one that it had."""
    if not isinstance(two.service, KlaviyoSandbox):
        pytest.skip("at Mailchimp who has another address has another name")
    one_list(two, "uk", "rich")
    hour(two, b=(B, "uk"))
    hour(two, b=(B, ""))
    changed_by_hand(two)
    if unsubscribes:
        two.leaves(C)
    for _ in range(2):
        hour(two, b=(C, ""), d=(B, "rich"))
    assert B in inside(two)
    assert two.states["rich", "d"] == "member"


@FULL
def test_who_was_taken_for_another_is_counted_once(two: Two) -> None:
    if not isinstance(two.service, KlaviyoSandbox):
        pytest.skip("at Mailchimp who has another address has another name")
    one_list(two, "uk", "rich")
    hour(two, b=(B, "uk"))
    hour(two, b=(B, ""))
    changed_by_hand(two)
    hour(two, tell=False, b=(C, ""), d=(B, "rich"))
    found = two.shop.tell(open=keyed(two.service))
    assert B in inside(two)
    assert (found.destinations["crm"].synced, found.destinations["crm"].rejected, found.failed) == (1, 0, False)


def test_merged_keys_are_read_once_for_many(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list goes to another segment, and everybody has another key by then."""
    if not isinstance(two.service, KlaviyoSandbox):
        pytest.skip("one service is enough: nothing of it is asked")
    keys, read, survivors = range(60), list[int](), same_target.survivors
    one_list(two, "uk")
    two.hour(**{f"m{key}": (f"m{key}@example.com", "uk") for key in keys})
    one_list(two, "rich")
    aliases = pl.DataFrame({"old_key": [f"m{key}" for key in keys], "new_key": [f"n{key}" for key in keys]})
    aliases.write_parquet(two.shop.root / "aliases.parquet")
    monkeypatch.setattr(same_target, "survivors", lambda connection: read.append(1) or survivors(connection))
    two.hour(**{f"n{key}": (f"m{key}@example.com", "rich") for key in keys})
    assert len(read) <= 2
    assert len(listed(two)) == len(keys)
