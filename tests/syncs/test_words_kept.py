"""`forget` and `recover` of a workspace whose segments are kept in step: what stays known, what is said, who is never put back."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest
from sqlalchemy import select

from segmentry.engine.connectors.destination import DestinationStopped
from segmentry.engine.connectors.memory import MemoryDestination
from segmentry.engine.connectors.registry import open_destination
from segmentry.engine.forgetting import forget
from segmentry.engine.loading import load
from segmentry.engine.recovering import recover
from segmentry.engine.state.lease import hold
from segmentry.engine.state.recovery import Recovered
from segmentry.engine.state.schema import ERASURES, LEFT, SYNCED
from segmentry.engine.sync_detaching import Telling, detach
from segmentry.errors import LeaseHeld
from tests.syncs.conftest import LIST, Synced

UK, FR = "UK", "FR"


def people(shop: Synced, **countries: str) -> None:
    shop.people({"id": list(countries), "country": list(countries.values())})


def started(shop: Synced) -> None:
    """Two of three are in the list."""
    people(shop, anna=UK, ben=UK, cleo=FR)
    shop.sync()
    shop.hour("2026-01-02")


def forgotten(shop: Synced, *keys: str) -> dict[str, Any]:
    return forget(load(shop.root).require(), shop.state, keys, shop.now)


def text_of(shop: Synced, table: Any) -> str:
    with shop.state.catalog.reading() as connection:
        return json.dumps([list(map(str, row)) for row in connection.execute(select(table))])


# ---------------------------------------------------------------- forget


def test_the_certificate_counts_rows_and_says_where_the_person_is_still(shop: Synced) -> None:
    started(shop)
    certificate = forgotten(shop, "anna")
    assert (certificate["syncs"], certificate["told"]) == (1, ["crm"])
    by_hand = certificate["erase_by_hand"]
    assert by_hand["destinations"] == ["crm"]
    assert by_hand["people_there"] == [{"destination": "crm", "target": LIST, "remote_id": "anna"}]
    assert "anna" not in text_of(shop, SYNCED) + text_of(shop, ERASURES) + text_of(shop, LEFT)
    assert shop.members == {"anna", "ben"}  # nobody is taken out: that is for a person to do


def test_who_was_told_of_by_a_sync_that_is_detached_is_there_still(shop: Synced) -> None:
    started(shop)
    people(shop, anna=UK, ben=UK, cleo=UK)
    shop.hour("2026-01-03", tell=False)
    shop.sync("")
    shop.hour("2026-01-04", tell=False)
    detach(load(shop.root).require(), shop.state, ("uk", "crm", None), Telling({}, lambda: shop.now), remove=False)
    by_hand = forgotten(shop, "anna")["erase_by_hand"]
    assert by_hand["people_there"] == [{"destination": "crm", "target": LIST, "remote_id": "anna"}]
    assert forgotten(shop, "cleo")["told"] == []
    assert "anna" not in text_of(shop, SYNCED)


def test_who_was_never_told_of_is_nowhere_else(shop: Synced) -> None:
    started(shop)
    people(shop, anna=UK, ben=UK, cleo=UK)
    shop.hour("2026-01-03", tell=False)
    certificate = forgotten(shop, "cleo")
    assert (certificate["syncs"], certificate["told"]) == (1, [])
    assert "people_there" not in certificate["erase_by_hand"]
    shop.tell()
    assert shop.members == {"anna", "ben"}


def test_who_left_is_erased_and_imported_again_is_not_put_back(shop: Synced) -> None:
    started(shop)
    shop.memory.take_out(LIST, "anna")
    people(shop, anna=FR, ben=UK, cleo=FR)
    shop.hour("2026-01-03")
    assert shop.rows()["anna"] == ("left", None)
    forgotten(shop, "anna")
    assert "anna" not in shop.rows()
    shop.memory.targets[LIST].pop("anna")  # erased there too, so nothing there would know better
    shop.people({"id": ["new", "ben"], "country": [UK, UK], "email": ["canna@example.com", "cben@example.com"]})
    shop.hour("2026-01-04")
    assert shop.members == {"ben"}
    assert shop.rows()["new"] == ("left", None)


def test_who_never_left_is_as_a_new_contact(shop: Synced) -> None:
    started(shop)
    forgotten(shop, "anna")
    shop.memory.targets[LIST].pop("anna")
    shop.hour("2026-01-03")
    assert shop.members == {"anna", "ben"}


# ---------------------------------------------------------------- recover


def backed_up(shop: Synced) -> None:
    shop.state.close()
    shutil.copytree(shop.root / ".segmentry", shop.root / "backup")


def restored(shop: Synced) -> None:
    shop.state.close()
    shutil.rmtree(shop.root / ".segmentry")
    shutil.copytree(shop.root / "backup", shop.root / ".segmentry")


def recovered(shop: Synced, **more: Any) -> Recovered:
    return recover(load(shop.root).require(), shop.state, shop.now, **more)


def meanwhile(shop: Synced) -> None:
    """After the backup Cleo is added, Ben is taken out by hand, and another one who is not in any snapshot is put in."""
    started(shop)
    backed_up(shop)
    people(shop, anna=UK, ben=UK, cleo=UK)
    shop.hour("2026-01-03")
    shop.memory.take_out(LIST, "ben")
    shop.memory.put_in(LIST, "friend@x.example")
    restored(shop)
    shop.at("2026-01-04")


def test_what_was_acknowledged_is_read_back(shop: Synced) -> None:
    meanwhile(shop)
    (found,) = recovered(shop).syncs
    assert (found.there, found.acknowledged, found.left, found.by_hand) == (3, 1, 1, 2)  # by the backup's own run Cleo is not in yet
    assert shop.rows() == {"anna": ("member", None), "ben": ("left", None)}
    people(shop, anna=UK, ben=UK, cleo=UK, dora=UK)
    shop.hour("2026-01-04T01:00")
    assert shop.rows() == {"anna": ("member", None), "ben": ("left", None), "cleo": ("baseline", None), "dora": ("baseline", None)}
    people(shop, anna=UK, ben=UK, cleo=FR, dora=UK, emil=UK)
    shop.hour("2026-01-05")
    assert shop.members == {"anna", "cleo", "emil", "friend@x.example"}
    assert shop.memory.wrongs == []


def test_who_is_there_and_desired_is_acknowledged(shop: Synced) -> None:
    people(shop, anna=UK, ben=UK)
    shop.sync()
    shop.hour("2026-01-02", tell=False)
    backed_up(shop)
    shop.tell()
    restored(shop)
    shop.at("2026-01-04")
    assert shop.rows()["anna"] == ("out", "add")
    (found,) = recovered(shop).syncs
    assert found.found == 2
    assert shop.rows() == {"anna": ("member", None), "ben": ("member", None)}
    people(shop, anna=FR, ben=UK)
    shop.hour("2026-01-04T01:00")
    assert shop.members == {"ben"}


def test_what_was_due_in_the_backup_is_over(shop: Synced) -> None:
    people(shop, anna=UK)
    shop.sync()
    shop.hour("2026-01-02", tell=False)
    backed_up(shop)
    restored(shop)
    shop.at("2026-01-04")
    recovered(shop)
    shop.tell()
    assert shop.members == set()
    shop.hour("2026-01-04T01:00")
    assert shop.rows() == {"anna": ("baseline", None)}


def test_what_cant_be_read_is_said_and_new_members_are_let_be(shop: Synced) -> None:
    class Deaf(MemoryDestination):
        def members(self, target: Any) -> Any:
            raise DestinationStopped("a webhook does not say who is there")

    def opened(name: str, settings: Any, context: Any) -> Any:
        found = open_destination(name, settings, context)
        found.__class__ = Deaf
        return found

    meanwhile(shop)
    (found,) = recovered(shop, open=opened).syncs
    assert "does not say who is there" in str(found.unread)
    people(shop, anna=UK, ben=UK, cleo=UK)
    shop.hour("2026-01-04T01:00")
    assert shop.rows() == {"anna": ("member", None), "ben": ("member", None), "cleo": ("baseline", None)}
    assert "friend@x.example" in shop.members


def test_nobody_recovers_while_a_sender_is_at_work(shop: Synced) -> None:
    meanwhile(shop)
    with hold(shop.state.catalog, shop.state.workspace, "default", purpose="delivery:crm"), pytest.raises(LeaseHeld):
        recovered(shop)
    assert shop.state.fact("recovered") is None
