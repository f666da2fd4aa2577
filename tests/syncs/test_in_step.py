"""Who is in a list after each run: every line of the table of what happens when, in the table's own words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import pytest
from sqlalchemy import select

from segmentry.engine.connectors.destination import Answer, Verdict
from segmentry.engine.connectors.memory import Known
from segmentry.engine.connectors.syncing import Change
from segmentry.engine.state.schema import SYNCED
from tests.activation.conftest import LOOSE
from tests.syncs.conftest import LIST, Synced

UK, FR = "UK", "FR"


def people(**countries: str) -> Mapping[str, Sequence[Any]]:
    """A snapshot: a contact a word, with its country."""
    return {"id": list(countries), "country": list(countries.values())}


def start(shop: Synced, said: str = "existing: send, mode: mirror") -> None:
    """Two of three are in the list after the first run."""
    shop.people(people(a=UK, b=UK, c=FR))
    shop.sync(said)
    shop.hour("2026-01-02")


def test_a_segment_first_computed_waits_for_existing(shop: Synced) -> None:
    start(shop, "mode: mirror")
    assert shop.members == set()
    assert shop.syncs() == [("uk", LIST, "unconfirmed", None)]


def test_existing_send_adds_all_and_a_second_run_is_a_no_op(shop: Synced) -> None:
    start(shop)
    assert shop.members == {"a", "b"}
    assert shop.rows() == {"a": ("member", None), "b": ("member", None)}
    assert shop.hour("2026-01-02T01:00").destinations == {}
    assert len(shop.memory.synced) == 1


def test_existing_skip_tells_later_entrants_only(shop: Synced) -> None:
    start(shop, "existing: skip, mode: mirror")
    assert shop.members == set()
    shop.people(people(a=UK, b=FR, c=UK))
    shop.hour("2026-01-03")
    assert shop.members == {"c"}
    shop.people(people(a=UK, b=UK, c=FR))  # b is a later entrant by now
    shop.hour("2026-01-04")
    assert shop.members == {"b"}


def test_existing_skip_lets_be_whoever_has_no_address_or_is_suppressed_at_the_start(shop: Synced) -> None:
    shop.further["suppress"] = "\"country_of_birth = 'X'\""
    frame = pl.DataFrame({"id": ["a", "b"], "country": [UK, UK], "email": [None, "b@x.example"], "country_of_birth": ["Y", "X"]})
    shop.people(frame)
    shop.sync("existing: skip")
    shop.hour("2026-01-02")
    shop.people(frame.with_columns(email=pl.format("{}@x.example", "id"), country_of_birth=pl.lit("Y")))
    shop.hour("2026-01-03")
    assert shop.members == set()


def test_existing_skip_lets_be_whoever_shares_an_address_at_the_start(shop: Synced) -> None:
    shop.people({"id": ["a", "b"], "country": [UK, UK], "email": ["x@x.example"] * 2})
    shop.sync("existing: skip")
    shop.hour("2026-01-02")
    shop.people({"id": ["a", "b"], "country": [FR, UK], "email": ["x@x.example"] * 2})
    shop.hour("2026-01-03")
    assert shop.members == set()


def test_who_left_a_list_is_not_put_back_by_another_segment(shop: Synced) -> None:
    shop.sync("existing: send")
    rich = "where: tier = 1\nsync: {destination: crm, list: people, existing: send}\n"
    (shop.root / "segments" / "rich.yml").write_text(rich)
    shop.people({"id": ["a", "b"], "country": [UK, UK], "tier": [0, 0]})
    shop.hour("2026-01-02")
    shop.memory.take_out(LIST, "a")
    shop.memory.sync_script.append(lambda change: Answer(Verdict.LEFT if change.contact == "a" else Verdict.SENT))
    shop.people({"id": ["a", "b"], "country": [UK, UK], "tier": [2, 0]})
    shop.sync("existing: send, fields: {level: tier}")
    shop.hour("2026-01-03")
    shop.memory.synced.clear()
    shop.people({"id": ["a", "b"], "country": [UK, UK], "tier": [1, 1]})
    shop.hour("2026-01-04")
    told = [(batch.segment, batch.action, [change.contact for change in batch.changes]) for batch in shop.memory.synced]
    assert told == [("uk", "update", ["b"]), ("rich", "update", ["b"])]  # who is in by the one is in by the other too


def test_who_was_perhaps_added_when_a_run_stopped_it_is_found_by_what_was_told(shop: Synced) -> None:
    start(shop)

    def lost(change: Change) -> Answer:
        shop.memory.people(LIST)["c"] = Known("c", change.address, "c", inside=True, ours=True)
        shop.people(people(a=UK, b=UK))
        shop.run("2026-01-03T01:00")
        return Answer(Verdict.LATER, "lost", maybe=True)

    shop.memory.sync_script.append(lost)
    shop.people(people(a=UK, b=UK, c=UK))
    shop.hour("2026-01-03")
    shop.hour("2026-01-04")
    with shop.state.catalog.reading() as connection:
        (told,) = connection.execute(select(SYNCED.c.payload).where(SYNCED.c.contact == "c")).scalars()
    assert json.loads(told)["address"] == "cc@example.com"


def test_who_has_the_address_of_one_who_left_is_kept_out_where_contacts_are_known_by_keys_too(shop: Synced) -> None:
    """As long as that one has it."""
    shop.destinations = "{crm: {type: memory, batch: 100}}"
    start(shop)
    shop.memory.take_out(LIST, "a")
    shop.people(people(a=FR, b=UK))
    shop.hour("2026-01-03")
    assert shop.rows()["a"] == ("left", None)
    shared, other = "shared@example.com", "other@example.com"
    for day, (own, expected) in enumerate(((shared, {"b"}), (other, {"b", "d"})), 4):
        shop.people({"id": ["a", "b", "d"], "email": [own, "bb@example.com", shared], "country": [UK, UK, UK]})
        shop.hour(f"2026-01-{day:02}")
        assert shop.members == expected


def test_who_left_by_one_segment_is_told_of_by_no_other_where_contacts_are_known_by_keys(shop: Synced) -> None:
    """No address tells that it is the one who left."""
    shop.destinations = "{crm: {type: memory, batch: 100}}"
    shop.sync("existing: send, fields: {level: tier}")
    (shop.root / "segments" / "rich.yml").write_text(
        "where: tier >= 1\nsync: {destination: crm, list: people, existing: send, fields: {level: tier}}\n"
    )
    shop.people({"id": ["a", "b"], "country": [UK, UK], "tier": [1, 1]})
    shop.hour("2026-01-02")
    shop.people({"id": ["a", "b"], "country": [UK, UK], "tier": [0, 1]})
    shop.memory.sync_script.append(lambda change: Answer(Verdict.LEFT if change.contact == "a" else Verdict.SENT))
    shop.hour("2026-01-03")
    shop.memory.synced.clear()
    for day in (4, 5):
        shop.people({"id": ["a", "b"], "country": [FR, UK], "tier": [2, 1]})
        shop.hour(f"2026-01-{day:02}")
    assert shop.memory.synced == []
    with shop.state.catalog.reading() as connection:
        states = set(connection.execute(select(SYNCED.c.state).where(SYNCED.c.contact == "a")).scalars())
    assert states == {"left"}


def test_entered_is_added_and_left_the_segment_is_removed_in_mirror(shop: Synced) -> None:
    start(shop)
    shop.people(people(a=UK, b=FR, c=UK))
    shop.hour("2026-01-03")
    assert shop.members == {"a", "c"}


def test_who_is_not_to_be_removed_any_more_is_not_also_before_the_next_run(shop: Synced) -> None:
    start(shop)
    shop.people(people(a=UK, b=FR, c=UK))
    shop.hour("2026-01-03", tell=False)
    shop.sync("existing: send, mode: add")
    assert "its `mode` was edited" in shop.tell().destinations["crm"].messages[0]
    assert shop.members == {"a", "b"}
    shop.hour("2026-01-03T01:00")
    assert shop.members == {"a", "b", "c"}


def test_add_never_removes(shop: Synced) -> None:
    start(shop, "existing: send")
    shop.people(people(a=UK, b=FR, c=UK))
    shop.hour("2026-01-03")
    assert shop.members == {"a", "b", "c"}
    shop.people(people(a=UK, b=UK, c=UK))  # back in: it is there still
    shop.hour("2026-01-04")
    assert [len(batch.changes) for batch in shop.memory.synced] == [2, 1]


def test_gone_from_snapshot_removal_waits_a_day_and_lapses_on_return(shop: Synced) -> None:
    start(shop)
    shop.people(people(a=UK, c=FR))
    shop.hour("2026-01-03")
    assert shop.members == {"a", "b"}
    assert shop.rows()["b"] == ("member", "remove")
    shop.people(people(a=UK, b=UK, c=FR))
    shop.hour("2026-01-03T12:00")
    assert shop.rows()["b"] == ("member", None)
    shop.people(people(a=UK, c=FR))
    shop.hour("2026-01-04")
    shop.hour("2026-01-04T23:00")
    assert shop.members == {"a", "b"}
    shop.at("2026-01-05T00:30")
    shop.tell()  # it is due by now, also without another run
    assert shop.members == {"a"}


def test_gone_for_a_while_then_left_is_removed_at_once(shop: Synced) -> None:
    start(shop)
    shop.people(people(a=UK, c=FR))
    shop.hour("2026-01-03")
    shop.people(people(a=UK, b=FR, c=FR))
    shop.hour("2026-01-03T01:00")
    assert shop.members == {"a"}


@pytest.mark.parametrize(("said", "there"), [("existing: send, mode: mirror", {"a"}), ("existing: send", {"a", "b"})])
def test_suppressed_is_removed_in_mirror_and_left_in_add_and_synced_again_when_lifted(shop: Synced, said: str, there: set[str]) -> None:
    shop.further["suppress"] = "\"plan = 'none'\""
    shop.people({"id": ["a", "b"], "country": [UK, UK], "plan": ["x", "x"]})
    shop.sync(said)
    shop.hour("2026-01-02")
    shop.people({"id": ["a", "b"], "country": [UK, UK], "plan": ["x", "none"]})
    shop.hour("2026-01-03")
    assert shop.members == there
    shop.people({"id": ["a", "b"], "country": [UK, UK], "plan": ["x", "x"]})
    shop.hour("2026-01-04")
    assert shop.members == {"a", "b"}


def test_fields_are_sent_when_they_changed_and_only_then(shop: Synced) -> None:
    shop.people({"id": ["a", "b"], "country": [UK, UK], "tier": [1, 2]})
    shop.sync("existing: send, fields: {level: tier}")
    shop.hour("2026-01-02")
    shop.people({"id": ["a", "b"], "country": [UK, UK], "tier": [1, 3]})
    shop.hour("2026-01-03")
    assert [(batch.action, [change.contact for change in batch.changes]) for batch in shop.memory.synced] == [
        ("add", ["a", "b"]),
        ("update", ["b"]),
    ]
    assert shop.memory.people(LIST)["b"].fields == {"level": 3}


def test_two_contacts_one_address_are_one_membership_removed_when_neither_is_in(shop: Synced) -> None:
    same = {"email": ["x@x.example", " X@x.example", "c@x.example"]}
    shop.people({"id": ["a", "b", "c"], "country": [UK, UK, FR], **same})
    shop.sync()
    shop.hour("2026-01-02")
    assert shop.members == {"a"}
    shop.people({"id": ["a", "b", "c"], "country": [FR, UK, FR], **same})
    shop.hour("2026-01-03")
    assert {one.address for one in shop.memory.people(LIST).values() if one.inside} == {"x@x.example"}
    shop.people({"id": ["a", "b", "c"], "country": [FR, FR, FR], **same})
    shop.hour("2026-01-04")
    assert shop.members == set()


def test_no_address_is_sent_when_one_comes(shop: Synced) -> None:
    shop.people({"id": ["a", "b"], "country": [UK, UK], "email": ["a@x.example", None]})
    shop.sync()
    shop.hour("2026-01-02")
    assert shop.members == {"a"}
    shop.people({"id": ["a", "b"], "country": [UK, UK], "email": ["a@x.example", "b@x.example"]})
    shop.hour("2026-01-03")
    assert shop.members == {"a", "b"}


def test_an_address_that_changed_is_updated_with_the_acknowledged_remote_id(shop: Synced) -> None:
    start(shop)
    shop.people({**people(a=UK, b=UK, c=FR), "email": ["new@x.example", "cb@example.com", "cc@example.com"]})
    shop.hour("2026-01-03")
    (change,) = shop.memory.synced[-1].changes
    assert (change.contact, change.remote_id, change.moved, change.address) == ("a", "a", True, "new@x.example")
    assert shop.memory.people(LIST)["a"].address == "new@x.example"


def test_taken_off_by_hand_is_never_put_back_not_by_a_run_nor_a_re_entry_nor_under_another_address(shop: Synced) -> None:
    start(shop)
    shop.memory.take_out(LIST, "a", "unsubscribed")
    shop.people(people(a=FR, b=UK, c=FR))
    shop.hour("2026-01-03")
    assert shop.rows()["a"] == ("left", None)
    shop.people({**people(a=UK, b=UK, c=FR), "email": ["other@x.example", "cb@example.com", "cc@example.com"]})
    shop.hour("2026-01-04")
    assert shop.members == {"b"}
    shop.people({"id": ["b", "c", "z"], "country": [UK, FR, UK], "email": ["cb@example.com", "cc@example.com", "ca@example.com"]})
    shop.hour("2026-01-05")  # another contact with the address that left
    assert shop.members == {"b"}
    assert shop.rows()["z"] == ("left", None)


def test_who_was_put_in_by_hand_stays(shop: Synced) -> None:
    start(shop)
    shop.memory.put_in(LIST, "friend@x.example")
    shop.people(people(a=FR, b=FR, c=FR))
    shop.hour("2026-01-03")
    assert shop.members == {"friend@x.example"}
    assert shop.memory.wrongs == []


def test_a_rejected_row_is_tried_again_when_its_attributes_change_and_not_before(shop: Synced) -> None:
    shop.people(people(a=UK))
    shop.sync()
    shop.write_config()
    shop.memory.sync_script.append(Answer(Verdict.REJECTED, "looks fake"))
    shop.hour("2026-01-02")
    assert shop.rows() == {"a": ("rejected", None)}
    shop.hour("2026-01-03")
    assert len(shop.memory.synced) == 1
    shop.people({"id": ["a"], "country": [UK], "email": ["true@x.example"]})
    shop.hour("2026-01-04")
    assert shop.members == {"a"}


def test_a_skipped_row_is_asked_again_after_a_day(shop: Synced) -> None:
    shop.people(people(a=UK))
    shop.sync()
    shop.write_config()
    shop.memory.sync_script.append(Answer(Verdict.SKIPPED, "no consent"))
    shop.hour("2026-01-02")
    shop.hour("2026-01-02T05:00")
    assert (shop.rows(), len(shop.memory.synced)) == ({"a": ("skipped", None)}, 1)
    shop.hour("2026-01-03T01:00")
    assert shop.members == {"a"}


def test_what_is_not_answered_is_asked_again_in_the_same_batch_with_what_was_kept(shop: Synced) -> None:
    start(shop)
    shop.memory.sync_script.append(Answer(Verdict.LATER, "busy"))
    shop.people(people(a=UK, b=FR, c=UK, d=UK))
    shop.hour("2026-01-03")
    assert shop.members == {"a"}
    shop.at("2026-01-03T01:00")
    shop.tell()
    added = [batch for batch in shop.memory.synced if batch.action == "add"]
    assert added[1] == added[2]
    assert shop.members == {"a", "c", "d"}


def test_an_open_row_is_replaced_by_a_later_run(shop: Synced) -> None:
    start(shop)
    shop.people(people(a=UK, b=UK, c=UK))
    shop.hour("2026-01-03", tell=False)
    assert shop.rows()["c"] == ("out", "add")
    shop.people(people(a=FR, b=UK, c=FR))
    shop.hour("2026-01-04", tell=False)
    assert shop.rows() == {"a": ("member", "remove"), "b": ("member", None)}
    shop.tell()
    assert shop.members == {"b"}


def test_a_changed_list_is_a_new_sync_that_asks_and_the_old_is_left_as_is(shop: Synced) -> None:
    start(shop)
    text = (shop.root / "segments" / "uk.yml").read_text()
    (shop.root / "segments" / "uk.yml").write_text(text.replace("people", "others").replace("existing: send, ", ""))
    shop.people(people(a=UK, b=FR, c=UK))
    shop.hour("2026-01-03")
    assert shop.members == {"a", "b"}
    assert shop.syncs() == [("uk", LIST, "detached", "send"), ("uk", "list:others", "unconfirmed", None)]
    assert shop.memory.members("list:others") == set()


def test_a_deleted_segment_removes_nothing_and_re_created_tells_the_difference(shop: Synced) -> None:
    start(shop)
    shop.segment("other", "country = 'DE'")
    text = (shop.root / "segments" / "uk.yml").read_text()
    shop.remove("uk")
    shop.people(people(a=UK, b=FR, c=UK))
    shop.hour("2026-01-03")
    assert shop.members == {"a", "b"}
    (shop.root / "segments" / "uk.yml").write_text(text)
    shop.hour("2026-01-04")
    assert shop.members == {"a", "c"}


def test_a_renamed_segment_goes_on_and_without_saying_so_it_asks(shop: Synced) -> None:
    start(shop)
    text = (shop.root / "segments" / "uk.yml").read_text().replace("existing: send, ", "")
    shop.remove("uk")
    (shop.root / "segments" / "gb.yml").write_text(text + "renamed_from: uk\n")
    shop.people(people(a=UK, b=FR, c=UK))
    shop.hour("2026-01-03")
    assert shop.members == {"a", "c"}
    shop.remove("gb")
    (shop.root / "segments" / "britain.yml").write_text(text)
    shop.hour("2026-01-04")
    assert shop.members == {"a", "c"}
    assert ("britain", LIST, "unconfirmed", None) in shop.syncs()


def test_a_held_segment_is_not_told_and_the_others_are(shop: Synced) -> None:
    shop.guards = "{snapshot: {shrinks: 100%}, segment: {enters: 10%, contacts: 1}}"
    start(shop)
    shop.people(people(a=FR, b=UK, c=UK, d=UK, e=UK))
    shop.hour("2026-01-03")
    assert shop.members == {"a", "b"}
    shop.guards = LOOSE
    shop.hour("2026-01-04")
    assert shop.members == {"b", "c", "d", "e"}


def test_an_environment_that_delivers_nothing_knows_no_syncs_and_starts_anew_when_it_does(shop: Synced) -> None:
    shop.deliver = False
    start(shop, "mode: mirror")
    assert shop.syncs() == []
    shop.deliver = True
    shop.hour("2026-01-03")
    assert shop.syncs() == [("uk", LIST, "unconfirmed", None)]


def test_late_runs_sync_and_historical_ones_do_not(shop: Synced) -> None:
    start(shop)
    shop.people(people(a=UK, b=FR, c=UK))
    shop.run("2026-01-03", now=shop.now.replace(day=9))
    shop.at("2026-01-09")
    shop.tell()
    assert shop.members == {"a", "c"}
    shop.people(people(a=FR, b=FR, c=FR))
    shop.run("2026-01-01", now=shop.now.replace(day=10))
    shop.tell()
    assert shop.members == {"a", "c"}


def test_merged_keys_go_on_as_the_survivor_only(shop: Synced) -> None:
    start(shop)
    pl.DataFrame({"old_key": ["a"], "new_key": ["z"]}).write_parquet(shop.root / "aliases.parquet")
    shop.people({"id": ["z", "b", "c"], "country": [UK, UK, FR], "email": ["ca@example.com", "cb@example.com", "cc@example.com"]})
    shop.hour("2026-01-03")
    assert {key: state for key, (state, _) in shop.rows().items()} == {"z": "member", "b": "member"}
    assert {one.address for one in shop.memory.people(LIST).values() if one.inside} == {"ca@example.com", "cb@example.com"}


def test_a_merge_with_somebody_who_left_stays_out(shop: Synced) -> None:
    start(shop)
    shop.memory.take_out(LIST, "a")
    shop.people(people(a=FR, b=UK, c=FR))
    shop.hour("2026-01-03")
    pl.DataFrame({"old_key": ["a"], "new_key": ["c"]}).write_parquet(shop.root / "aliases.parquet")
    shop.people(people(b=UK, c=UK))
    shop.hour("2026-01-04")
    assert shop.members == {"b"}
