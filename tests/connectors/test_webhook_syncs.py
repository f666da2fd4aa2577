"""Webhooks of a segment that is kept in step: what is said of who came, changed and went, and what can't be asked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from segmentry.engine.connectors.destination import Answer, DestinationStopped, Verdict
from segmentry.engine.connectors.syncing import Action, Change, Notes, SyncBatch, Target
from tests.connectors.conftest import AT, Post, nothing


def change(id: str) -> Change:
    data = {"change_id": id, "segment": "vip", "contact": f"c_{id}", "as_of": "2026-11-23T18:00:00Z", "fields": {"city": "Köln"}}
    return Change(id, f"c_{id}", f"{id}@example.com", None, {"city": "Köln"}, data)


def changes(*ids: str, action: Action = Action.ADD) -> SyncBatch:
    id = ids[0] if len(ids) == 1 else f"{ids[0]}-to-{ids[-1]}"
    return SyncBatch(id, "vip", Target(), action, AT, tuple(map(change, ids)))


def synced(post: Post, told: SyncBatch, **settings: Any) -> tuple[Any, dict[str, str]]:
    """The body and the headers of one webhook."""
    answers = post.open(**settings).sync(told, nothing, Notes())
    assert answers == [Answer(Verdict.SENT)] * len(told.changes)
    (request,) = post.sandbox.requests
    return json.loads(request.body), dict(request.headers)


@pytest.mark.parametrize(
    ("action", "type"), [(Action.ADD, "segment.entered"), (Action.UPDATE, "segment.updated"), (Action.REMOVE, "segment.exited")]
)
def test_a_change_is_its_data_under_its_own_id(post: Post, action: Action, type: str) -> None:
    body, headers = synced(post, changes("a", action=action))
    assert body == {"type": type, "timestamp": "2026-11-23T18:00:00Z", "data": change("a").data}
    assert headers["webhook-id"] == "a"


def test_a_batch_is_a_list_whose_items_have_their_ids(post: Post) -> None:
    body, headers = synced(post, changes("a", "b"), batch=10)
    assert body["data"] == [{**change(id).data, "id": id} for id in "ab"]
    assert headers["webhook-id"] == "a-to-b"
    assert [arrival.id for arrival in post.sandbox.inbox.arrivals] == ["a", "b"]


def test_cloudevents_have_the_changes_ids_and_are_signed(post: Post) -> None:
    body, headers = synced(post, changes("a", "b"), format="cloudevents", batch=2)
    assert [(event["id"], event["type"], event["data"]) for event in body] == [(id, "segment.entered", change(id).data) for id in "ab"]
    assert headers["content-type"] == "application/cloudevents-batch+json"


def test_an_address_is_not_said_unless_a_field_says_it(post: Post) -> None:
    synced(post, changes("a"))
    assert b"@example.com" not in post.sandbox.requests[0].body


def test_a_receiver_that_has_trouble_is_asked_again_with_the_same_bytes(post: Post) -> None:
    post.meets("503", "500-applied")
    assert post.open().sync(changes("a"), nothing, Notes()) == [Answer(Verdict.SENT)]
    assert len({request.body for request in post.sandbox.requests}) == 1
    assert post.seen == {"a": 2}


def test_what_may_have_arrived_is_said_so(post: Post) -> None:
    post.meets(*["500-applied"] * 4)
    (answer,) = post.open().sync(changes("a"), nothing, Notes())
    assert (answer.verdict, answer.maybe) == (Verdict.LATER, True)


def test_a_receiver_that_is_gone_is_not_told_again(post: Post) -> None:
    post.meets("410")
    with pytest.raises(DestinationStopped, match="gone") as stopped:
        post.open().sync(changes("a"), nothing, Notes())
    assert stopped.value.disabled


def test_nobody_can_ask_it_who_is_in(post: Post) -> None:
    destination = post.open()
    with pytest.raises(DestinationStopped, match="can't be asked who is in"):
        next(iter(destination.members(Target())))
    assert list(destination.places()) == []
    assert post.sandbox.count == 0


def test_what_is_known_of_it_is_where_it_is_and_no_more_of_its_address(post: Post) -> None:
    outlook = post.open(url=f"{post.sandbox.url}/T0P/S3CRET?key=S3CRET").look(Target())
    assert (outlook.title, outlook.members) == ("the receiver at `127.0.0.1`", None)
    assert "S3CRET" not in " ".join((outlook.title, *outlook.warnings))
