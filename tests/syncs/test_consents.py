"""Consent that is withdrawn before anything was told: what waits does not say any more that the contact has agreed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest
from sqlalchemy import select, update

from segmentry.engine.connectors.destination import Answer, Batch
from segmentry.engine.connectors.memory import MemoryDestination
from segmentry.engine.connectors.settings import MemorySettings
from segmentry.engine.loading import load
from segmentry.engine.moment import Moment
from segmentry.engine.state import activated, sync_outbox
from segmentry.engine.state.schema import DELIVERIES, ENROLLMENTS, SYNCED
from segmentry.engine.sync_confirming import confirm
from segmentry.errors import DecisionError
from tests.syncs.conftest import Synced


@pytest.fixture
def agreed(shop: Synced) -> Synced:
    """Somebody has agreed, and is to be told of, as a member and as enrolled."""
    shop.destinations = '{crm: {type: mailchimp, key: "${KEY}", audience: a1, new_contacts: subscribed, consent: "spend > 1"}}'
    shop.sequences = '{welcome: {destination: crm, tag: "t"}}'
    (shop.root / "segments").mkdir()
    where = "where: country = 'UK'\nenroll: welcome\nsync: {destination: crm, tag: v, existing: send}\n"
    (shop.root / "segments" / "uk.yml").write_text(where)
    recompute(shop, "2026-01-02", "FR", 2)
    recompute(shop, "2026-01-03", "UK", 2)
    assert told(shop) == {"synced": True, "deliveries": True}
    return shop


def recompute(shop: Synced, at: str, country: str, spend: int) -> None:
    shop.people({"id": ["a"], "country": [country], "spend": [spend]})
    shop.run(at)


def told(shop: Synced) -> dict[str, bool]:
    """By table whether the one open row says that the contact has agreed."""
    with shop.state.catalog.reading() as connection:
        texts = {table.name: connection.execute(select(table.c.payload)).scalar_one() for table in (SYNCED, DELIVERIES)}
    return {name: "consents" in json.loads(text) for name, text in texts.items()}


def test_what_waits_says_no_more_that_somebody_has_agreed(agreed: Synced) -> None:
    recompute(agreed, "2026-01-04", "UK", 0)
    assert told(agreed) == {"synced": False, "deliveries": False}
    assert agreed.ledger() == [("a", 1, "pending")]
    recompute(agreed, "2026-01-05", "UK", 2)
    assert told(agreed)["synced"] is True


def test_what_is_under_way_is_stopped(agreed: Synced) -> None:
    with agreed.state.catalog.writing() as connection:
        connection.execute(update(SYNCED).values(lease=7, batch="b"))
    recompute(agreed, "2026-01-04", "UK", 0)
    with agreed.state.catalog.writing() as connection:
        assert connection.execute(select(SYNCED.c.stop)).scalar() == "the consent is withdrawn"
        sync_outbox.abandoned(connection, "crm", agreed.now)
    recompute(agreed, "2026-01-05", "UK", 0)
    assert told(agreed)["synced"] is False
    assert agreed.rows() == {"a": ("out", "add")}


def test_what_an_enrollment_under_way_says_is_read_anew_before_it_goes(agreed: Synced) -> None:
    with agreed.state.catalog.writing() as connection:
        connection.execute(update(DELIVERIES).values(lease=7, batch="b"))
        connection.execute(update(ENROLLMENTS).values(outcome="sending"))
    recompute(agreed, "2026-01-04", "UK", 0)
    with agreed.state.catalog.reading() as connection:
        assert connection.execute(select(DELIVERIES.c.batch, DELIVERIES.c.lease, DELIVERIES.c.stop)).one() == (None, 7, None)
    assert told(agreed)["deliveries"] is False


def test_an_edited_consent_is_computed_before_anybody_is_confirmed_by_it(agreed: Synced) -> None:
    path = agreed.root / "segments" / "uk.yml"
    path.write_text(path.read_text().replace("tag: v, existing: send", "tag: w"))
    recompute(agreed, "2026-01-04", "UK", 2)
    agreed.destinations = agreed.destinations.replace("spend > 1", "spend > 0")
    agreed.write_config()
    workspace = load(agreed.root).require()

    def confirmed() -> None:
        confirm(workspace, agreed.state, ("uk", "crm", None), "send", agreed.now, lambda: Moment.at(workspace, agreed.now).contacts)

    agreed.at("2026-01-05")
    with pytest.raises(DecisionError, match="`consent` of `crm` was edited"):
        confirmed()
    recompute(agreed, "2026-01-06", "UK", 2)
    agreed.at("2026-01-06")
    confirmed()


def test_who_agrees_no_more_is_not_told_so_by_whoever_was_about_to(shop: Synced) -> None:
    shop.destinations = "{crm: {type: memory, batch: 10}}"
    shop.sequences = "{welcome: {destination: crm}}"
    (shop.root / "segments").mkdir()
    (shop.root / "segments" / "uk.yml").write_text("where: country = 'UK'\nenroll: welcome\n")
    recompute(shop, "2026-01-02", "FR", 2)
    recompute(shop, "2026-01-03", "UK", 2)
    shop.at("2026-01-03")
    with shop.state.catalog.writing() as connection:
        id, payload = connection.execute(select(DELIVERIES.c.id, DELIVERIES.c.payload)).one()
        connection.execute(update(DELIVERIES).values(payload=json.dumps({**json.loads(payload), "consents": True})))
    asked: list[bool] = []

    class Slow(MemoryDestination):
        def send(self, batch: Batch, before: Callable[[], None]) -> Sequence[Answer]:
            if not asked:
                with shop.state.catalog.writing() as connection:  # as a run does meanwhile
                    activated._disagree(connection, id)
            asked.append(batch.rows[0].consents)
            before()
            return super().send(batch, before)

    shop.tell(open=lambda _, settings, __: Slow(MemorySettings.model_validate(settings), shop.memory))
    assert asked == [True, False]
    assert shop.ledger() == [("a", 1, "sent")]
