"""Who left as the person it was before is taken out as whom it stands for, like anybody who goes, and nobody else has to suffer for it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from sqlalchemy import update

from segmentry.engine.background import known_syncs
from segmentry.engine.connectors import klaviyo_importing, mailchimp_syncing
from segmentry.engine.connectors.klaviyo_client import LaterError
from segmentry.engine.connectors.klaviyo_work import Work
from segmentry.engine.connectors.mailchimp_calls import Calls
from segmentry.engine.connectors.mailchimp_line import TroubleError
from segmentry.engine.connectors.mailchimp_tags import Tags
from segmentry.engine.state import synced
from segmentry.engine.state.schema import SYNCED
from segmentry.engine.sync_plans import plan_syncs
from segmentry.engine.sync_returning import readd
from segmentry.engine.workspace import Workspace
from segmentry.sandbox.klaviyo import KlaviyoSandbox
from tests.syncs.test_handed_on import merged
from tests.syncs.test_keys_there import FULL, listed, off
from tests.syncs.test_names_before import C, for_days, out_as_another
from tests.syncs.test_perhaps import Ended, Z, and_then, raising, removed_unheard
from tests.syncs.test_shared_addresses import RULES, A, B, Two, X, two
from tests.syncs.test_words_services import words
from tests.syncs.world import Person, World

__all__ = ["two"]


def left_as_another(two: Two) -> None:
    """b left under an address of its own, and has a's by now; a is in."""
    out_as_another(two)
    two.leaves(B)
    two.hour(a=(X, "uk"), b=(X, ""))


def not_taken_off(two: Two, monkeypatch: pytest.MonkeyPatch, **who: tuple[str, str]) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Work, "relate", raising(LaterError("nothing came of it")))
        patch.setattr(Tags, "take_off", raising(TroubleError(mailchimp_syncing.LOST)))
        two.hour(**who)


def moved_unheard(two: Two, monkeypatch: pytest.MonkeyPatch, *, done: bool, **who: tuple[str, str]) -> None:
    with monkeypatch.context() as patch:
        lost, later = TroubleError(mailchimp_syncing.LOST), LaterError("the answer is lost", maybe=True)
        patch.setattr(Calls, "change_person", and_then(Calls.change_person, lost) if done else raising(lost))
        patch.setattr(klaviyo_importing, "_import_one", and_then(klaviyo_importing._import_one, later) if done else raising(later))
        two.hour(**who)


# ---------------------------------------------------------------- taking out, whatever is heard of it


def test_who_could_not_be_taken_off_is_tried_again(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    left_as_another(two)
    two.hour(a=(X, ""), b=(X, "uk"))
    not_taken_off(two, monkeypatch, a=(X, ""), b=(X, "uk"))
    assert listed(two) == {X: {"uk"}}
    for_days(two, a=(X, ""), b=(X, "uk"))
    assert listed(two) == {}
    assert two.states == {("uk", "b"): "left"}


@FULL
def test_whose_removal_is_in_doubt_is_taken_off_too(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """a was to go, and nobody knows whether it did, when b came in its place."""
    left_as_another(two)
    not_taken_off(two, monkeypatch, a=(X, ""), b=(X, ""))
    for_days(two, a=(X, ""), b=(X, "uk"))
    assert listed(two) == {}


@FULL
def test_who_was_taken_off_unheard_has_not_left(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    left_as_another(two)
    two.hour(a=(X, ""), b=(X, "uk"))
    removed_unheard(two, monkeypatch, a=(X, ""), b=(X, "uk"))
    assert listed(two) == {}
    two.again(a=(X, "uk"), b=(C, ""))
    two.again(a=(X, ""), b=(C, ""))
    two.again(a=(X, "uk"), b=(C, ""))
    assert listed(two) == {X: {"uk"}}


@FULL
def test_whose_sender_is_killed_has_not_left(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    left_as_another(two)
    two.hour(a=(X, ""), b=(X, "uk"))
    with monkeypatch.context() as patch:
        patch.setattr(Work, "relate", and_then(Work.relate, Ended()))
        patch.setattr(Tags, "take_off", and_then(Tags.take_off, Ended()))
        with pytest.raises(Ended):
            two.hour(a=(X, ""), b=(X, "uk"))
    two.again(a=(X, "uk"), b=(C, ""))
    two.again(a=(X, ""), b=(C, ""))
    two.again(a=(X, "uk"), b=(C, ""))
    assert listed(two) == {X: {"uk"}}


# ---------------------------------------------------------------- whom it is not about


@pytest.mark.parametrize("both", [True, pytest.param(False, marks=FULL)])
def test_where_nobody_is_taken_off_the_other_stays(two: Two, both: bool) -> None:
    """With `mode: add`; `both` segments are in step with one list or tag, and a is in the other one too."""
    two.modes = ("add", "add")
    two.write()
    if both:
        target = f"list: {two.service.lists[1].id}" if isinstance(two.service, KlaviyoSandbox) else 'tag: "seg:uk"'
        entry = f"sync: {{destination: crm, {target}, existing: send, mode: add, fields: {{FNAME: name}}}}"
        (two.shop.root / "segments" / "rich.yml").write_text(f'where: "{RULES["rich"]}"\n{entry}\n')
    two.hour(a=(X, "uk rich"), b=(B, "uk"), c=(C, ""))
    two.hour(a=(X, "uk rich"), b=(B, ""), c=(B, "uk"))
    two.leaves(B)
    two.hour(a=(X, "uk rich"), b=(X, ""), c=(B, "uk"))
    two.again(a=(X, "rich"), b=(X, "uk"), c=(B, "uk"))
    assert X in listed(two)
    assert two.states["uk", "b"] == "left"


@FULL
def test_whose_address_it_has_is_kept_out_no_longer_than_it_has_it(two: Two) -> None:
    left_as_another(two)
    for_days(two, a=(X, ""), b=(X, "uk"))
    two.again(a=(X, "uk"), b=(C, ""))
    assert listed(two) == {X: {"uk"}}


@FULL
@pytest.mark.parametrize("told", [True, pytest.param(False, marks=FULL)])
def test_who_left_so_is_put_in_another_list_neither(two: Two, told: bool) -> None:
    left_as_another(two)
    two.hour(tell=told, a=(X, ""), b=(X, "uk"))
    for_days(two, a=(X, ""), b=(C, "uk rich"))
    assert listed(two) == {}


def readded(two: Two, key: str, counts: tuple[int, ...] = (1,)) -> None:
    workspace, state, _, _, now, newest = words(two.shop)
    assert tuple(one.freed for one in readd(workspace, state, [key], now, newest)) == counts
    two.tell()


def test_who_is_said_to_come_back_does_unless_it_is_unsubscribed_still(two: Two) -> None:
    left_as_another(two)
    for_days(two, a=(X, ""), b=(X, "uk"))
    readded(two, "b")
    for_days(two, a=(X, ""), b=(X, "uk"))
    assert listed(two) == {}
    if isinstance(two.service, KlaviyoSandbox):
        two.service.subscribe(B)
    else:
        two.service.people.subscribe(B)
    readded(two, "b")
    two.again(a=(X, ""), b=(X, "uk"))
    assert listed(two) == {X: {"uk"}}


@FULL
@pytest.mark.parametrize("late", [False, pytest.param(True, marks=FULL)])
def test_who_left_so_comes_in_by_no_word_about_the_other(two: Two, late: bool) -> None:
    """Both had one address."""
    left_as_another(two)
    two.hour(a=(X, ""), b=(X, "uk"))
    if late:
        two.again(a=(X, ""), b=(X, "uk"))
    readded(two, "a")
    for_days(two, a=(X, ""), b=(C, "uk"))
    assert listed(two) == {}


def test_who_was_taken_off_by_hand_meanwhile_is_not_put_back_as_the_other(two: Two) -> None:
    left_as_another(two)
    two.hour(a=(X, ""), b=(X, "uk"))
    off(two)
    for_days(two, a=(X, "uk"), b=(C, "uk"))
    assert X not in listed(two)


@FULL
def test_who_is_gone_when_the_other_comes_back_left_all_the_same(two: Two) -> None:
    left_as_another(two)
    two.hour(a=(X, ""), b=(X, "uk"))
    two.again(a=(X, "uk"), b=None)
    for_days(two, a=(X, "uk"), b=(C, "uk"))
    assert listed(two) == {X: {"uk"}}


@FULL
def test_whose_person_before_has_another_address_by_our_doing_has_not_left(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody heard of it, and the person is there by another name."""
    if isinstance(two.service, KlaviyoSandbox):
        pytest.skip("at Klaviyo people are called the same by whatever address")
    two.hour(a=(X, "rich"), b=(B, "rich"), d=(B, "uk"))
    two.hour(a=(X, "rich"), b=(B, ""), d=(B, "uk"))
    two.hour(tell=False, a=(X, ""), b=(X, "rich"), d=(B, "uk"))
    with monkeypatch.context() as patch:
        patch.setattr(Calls, "change_person", and_then(Calls.change_person, TroubleError(mailchimp_syncing.LOST)))
        two.hour(a=(X, ""), b=(X, "rich"), d=(A, "uk"))
    for_days(two, a=(X, ""), b=(X, "rich"), d=(A, "uk"))
    assert listed(two) == {X: {"rich"}, A: {"uk"}}


@FULL
def test_what_a_batch_of_before_came_to_says_nothing_of_who_it_was(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """a was told of in a batch whose end nobody heard; b goes on as a."""
    if isinstance(two.service, KlaviyoSandbox):
        pytest.skip("only Mailchimp answers for what was handed in before")
    monkeypatch.setattr(mailchimp_syncing, "FEW", 0)
    out_as_another(two)
    two.leaves(B)
    with monkeypatch.context() as patch:
        patch.setattr(mailchimp_syncing.batches, "results", raising(TroubleError(mailchimp_syncing.LOST)))
        two.hour(name="M", a=(X, "uk"), b=(B, ""))
    merged(two, "a", "b")
    for_days(two, name="M", b=(X, "uk"))
    two.hour(name="M", b=(X, "uk"))
    assert listed(two) == {}


# ---------------------------------------------------------------- what is open meanwhile


@pytest.mark.parametrize("done", [True, pytest.param(False, marks=FULL)])
def test_a_change_of_address_that_may_have_been_made_goes_on_as_it_was(two: Two, monkeypatch: pytest.MonkeyPatch, done: bool) -> None:
    out_as_another(two)
    moved_unheard(two, monkeypatch, done=done, a=(A, "uk"), b=(B, ""))
    for_days(two, a=(A, ""), b=(X, "uk"))
    assert listed(two) == {X: {"uk"}}
    assert two.states == {("uk", "b"): "member"}


@FULL
@pytest.mark.parametrize("done", [True, pytest.param(False, marks=FULL)])
@pytest.mark.parametrize("to", [B, pytest.param(A, marks=FULL), pytest.param(X, marks=FULL)])
def test_a_merged_one_goes_with_it(two: Two, monkeypatch: pytest.MonkeyPatch, done: bool, to: str) -> None:
    out_as_another(two)
    moved_unheard(two, monkeypatch, done=done, a=(A, "uk"), b=(B, ""))
    merged(two, "a", "b")
    for_days(two, b=(to, ""), z=Z)
    assert listed(two) == {}


@FULL
def test_who_left_under_another_key_is_taken_off_by_whichever_address_it_has(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    two.hour(a=(X, "uk"), b=(B, "uk"), z=Z)
    off(two)
    two.hour(a=(X, ""), b=(B, "uk"), z=Z)
    moved_unheard(two, monkeypatch, done=True, a=(X, ""), b=(C, "uk"), z=Z)
    merged(two, "a", "b")
    for _ in range(2):
        two.again(b=(C, "uk"), z=Z)
    assert listed(two) == {}
    assert two.states["uk", "b"] == "left"


# ---------------------------------------------------------------- the rows themselves


def two_people(tmp_path: Path) -> tuple[World, dict[str, Person]]:
    """a is in, and b out, each as a person of its own."""
    people = {"a": Person("a", "x@x.example"), "b": Person("b", "b@x.example")}
    world = World(tmp_path / "w", random.Random(1), people=people)
    world.rest()
    people["b"].inside = False
    world.rest()
    return world, people


@pytest.mark.parametrize("meanwhile", [{"lease": 7}, {"revision": 99}])
def test_a_row_that_is_another_by_then_takes_none_away(tmp_path: Path, meanwhile: dict[str, int]) -> None:
    world, people = two_people(tmp_path)
    people["a"].inside = False
    world.compute()
    people["b"].inside, people["b"].address = True, "x@x.example"
    with world.state.catalog.reading() as connection:
        drafts = plan_syncs(world.workspace(), world.standing(), known_syncs(connection, world.state.secret(connection), {}))
    with world.state.catalog.writing() as connection:
        connection.execute(update(SYNCED).where(SYNCED.c.contact == "a").values(meanwhile))
    with world.state.catalog.writing() as connection:
        synced.apply_syncs(connection, drafts, world.now)
    rows = world.rows()
    assert {key: row["remote_id"] for key, row in rows.items()} == {"a": "r0", "b": "r1"}
    world.state.close()


def test_who_takes_over_what_was_refused_is_told_of_all_the_same(tmp_path: Path) -> None:
    world, people = two_people(tmp_path)
    people["a"].tier = people["b"].tier = 7
    world.rejects = {"a"}
    world.rest()
    people["a"].inside, people["b"].inside, people["b"].address = False, True, "x@x.example"
    world.rejects = set()
    world.memory.synced.clear()
    world.rest()
    assert any(change.former_ids == ("r1",) for batch in world.memory.synced for change in batch.changes)
    assert world.rows()["b"]["former_ids"] is None
    world.state.close()


def test_further_runs_write_nothing(tmp_path: Path) -> None:
    world, people = two_people(tmp_path)
    people["a"].inside, people["b"].inside, people["b"].address = False, True, "x@x.example"
    world.compute()
    before = {key: row["revision"] for key, row in world.rows().items()}
    world.compute()
    assert {key: row["revision"] for key, row in world.rows().items()} == before
    world.state.close()


# ---------------------------------------------------------------- who has the address of one who left, under another


def left_and_has(two: Two, address: str) -> None:
    """b left under an address of its own, which was heard, and then has another."""
    two.hour(b=(B, "uk"))
    off(two, B)
    two.hour(b=(B, ""))
    assert two.states == {("uk", "b"): "left"}
    two.hour(b=(address, "uk"))


@pytest.mark.parametrize("inside", ["uk", pytest.param("", marks=FULL)])
def test_who_has_the_address_of_one_who_left_under_another_comes_in_once_that_one_has_it_no_more(two: Two, inside: str) -> None:
    left_and_has(two, X)
    two.again(a=(X, "uk"), b=(X, inside))
    assert listed(two) == {}
    assert two.states == {("uk", "b"): "left"}
    two.again(a=(X, "uk"), b=(C, inside))
    assert listed(two) == {X: {"uk"}}
    two.again(a=(X, "uk"), b=(A, inside), c=(C, "uk"))
    assert listed(two) == {X: {"uk"}, C: {"uk"}}, "nobody has that one either"


@FULL
def test_who_left_and_is_gone_comes_in_as_nobody_else_with_its_address(two: Two) -> None:
    """Also where the key is another one since, of which nobody said so; until somebody says that this one is another."""
    left_and_has(two, X)
    two.again(c=(X, "uk"))
    assert listed(two) == {}
    readded(two, "c")
    two.again(c=(X, "uk"))
    assert listed(two) == {X: {"uk"}}


@FULL
def test_who_left_and_is_forgotten_comes_in_as_nobody_else_with_its_address(two: Two) -> None:
    left_and_has(two, X)
    Workspace.open(two.shop.root).forget(["b"])
    two.again(c=(X, "uk"))
    assert listed(two) == {}


@FULL
def test_whose_person_got_another_address_by_another_list_is_put_back_as_nobody_else(two: Two) -> None:
    """b was taken off the one list, and is in the other still."""
    two.hour(b=(B, "uk rich"))
    off(two, B)
    two.hour(b=(B, "rich"))
    two.hour(b=(X, "rich"))
    assert listed(two) == {X: {"rich"}}
    two.again(a=(X, "uk"), b=(X, "rich"))
    assert listed(two) == {X: {"rich"}}
    two.again(a=(X, "uk"), b=(C, "rich"))
    two.again(a=(X, "uk"), b=(C, "rich"))
    assert listed(two) == {X: {"uk"}, C: {"rich"}}
