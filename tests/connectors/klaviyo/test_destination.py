"""What Klaviyo is asked before anything is sent: whose the key is, what lists there are, who is on one and what starts there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from segmentry.engine.connectors import klaviyo_client
from segmentry.engine.connectors.destination import Destination, DestinationStopped
from segmentry.engine.connectors.klaviyo import KlaviyoDestination
from segmentry.engine.connectors.klaviyo_client import ENDPOINTS, REVISION
from segmentry.engine.connectors.registry import open_destination, sync_traits_of, words_of
from segmentry.engine.connectors.syncing import Member, Outlook, Place, Target
from segmentry.errors import DestinationError
from tests.connectors.conftest import context
from tests.connectors.klaviyo.conftest import LIST, Account, changes


def opened(key: str = "pk_abc", **settings: Any) -> Destination:
    return open_destination("klaviyo", {"type": "klaviyo", "key": "${K}", "account": "Ab12Cd", **settings}, context(Path(), K=key))


# ---------------------------------------------------------------- opening


def test_the_registry_opens_it_with_nothing_but_a_key() -> None:
    destination = opened()
    assert isinstance(destination, KlaviyoDestination)
    assert destination.traits.repeat_safe
    assert destination.traits.needs_address
    destination.close()


def test_what_a_workspace_may_say_of_it() -> None:
    assert words_of("klaviyo") == (("event",), ("list",))
    assert sync_traits_of({"type": "klaviyo", "key": "${K}"}).batch == 5000


@pytest.mark.parametrize("url", ["http://a.klaviyo.com", "https://me:secret@a.klaviyo.com", "https://", "https://a.klaviyo.com?x=1"])
def test_an_address_that_the_key_should_not_be_sent_to_is_refused(url: str) -> None:
    with pytest.raises(DestinationError, match="`url`") as refused:
        opened(url=url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("key", ["pk_a b", "pk_ü", "pk_a\nb"])
def test_a_key_that_can_be_none_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(DestinationError, match="no Klaviyo key") as refused:
        opened(key=key)
    assert key not in str(refused.value)


def test_the_service_itself_is_not_reached_in_a_private_network() -> None:
    destination = opened(url="https://localhost.klaviyo.example")
    client = vars(destination)["_client"]
    assert vars(vars(client)["_wire"])["_transport"]._pool._network_backend._allowed is not None
    destination.close()


def test_what_could_change_consent_or_delete_is_no_endpoint_of_ours() -> None:
    paths = {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}
    assert not [path for _, path in paths if "subscription" in path or "suppression" in path or "privacy" in path]
    assert [path for method, path in paths if method == "DELETE"] == ["/api/lists/{id}/relationships/profiles"]
    assert ("POST", "/api/lists") not in paths


# ---------------------------------------------------------------- the account


def test_the_account_is_klaviyo_s_own_id(account: Account) -> None:
    assert account.open().account() == account.sandbox.account


def test_a_refused_key_stops_with_the_scopes_it_needs(account: Account) -> None:
    with pytest.raises(DestinationStopped, match="accounts:read") as stopped:
        account.open(key="pk_wrong").account()
    assert "pk_wrong" not in str(stopped.value)


@pytest.mark.parametrize(
    ("kind", "reason"), [("403", "403"), ("404", "nothing at this address"), ("400", "refuses the question"), ("200", "whose the key is")]
)
def test_an_account_that_can_t_be_told_stops(account: Account, kind: str, reason: str) -> None:
    account.meets(kind)
    with pytest.raises(DestinationStopped, match=reason):
        account.open().account()


def test_an_account_that_can_t_be_reached_stops(account: Account) -> None:
    account.sandbox.close()
    with pytest.raises(DestinationStopped, match="could not be reached"):
        account.open().account()


def test_trouble_and_throttling_are_waited_out(account: Account) -> None:
    account.meets("503", "429-after")
    assert account.open().account() == account.sandbox.account


# ---------------------------------------------------------------- lists


def test_all_members_are_read_page_by_page_with_their_keys_and_wishes(account: Account) -> None:
    account.add(*changes(250))
    account.put_by_hand("other@example.com")
    account.unsubscribe(1)
    found = account.read()
    assert len(found) == 251
    known = account.sandbox.profile("p1@example.com")
    assert found[0] == Member(known.id, "p1@example.com", "c_1", "unsubscribed")
    other = account.sandbox.profile("other@example.com")
    assert found[-1] == Member(other.id, "other@example.com", None, "never_subscribed")
    assert len(account.asked("GET", "/api/lists/{id}/profiles")) >= 3


def test_a_last_page_whose_next_is_null_is_the_last(account: Account) -> None:
    account.add(*changes(3))
    account.meets("null-links")
    assert len(account.read()) == 3


def test_members_that_can_t_be_read_to_the_end_stop(account: Account) -> None:
    account.add(*changes(120))
    account.meets("no-links")
    with pytest.raises(DestinationStopped, match="whether there is another"):
        account.read()


def test_members_of_a_list_that_is_not_there_stop(account: Account) -> None:
    with pytest.raises(DestinationStopped, match="no list `NoList`"):
        list(account.open().members(Target("list", "NoList")))


def test_a_list_is_looked_at_with_its_name_and_how_many_are_on_it(account: Account) -> None:
    account.add(*changes(3))
    assert account.open().look(account.target) == Outlook(LIST, 3, ())


def test_a_live_flow_that_starts_on_the_list_is_warned_of(account: Account) -> None:
    account.sandbox.set_flow(LIST, flow="Welcome")
    account.sandbox.set_flow(LIST, flow="Draft", status="draft")
    assert account.open().look(account.target).warnings == ("the live flow `Welcome` starts for whoever is added to it",)


def test_a_key_that_may_not_read_flows_is_said_and_no_reason_to_stop(account: Account) -> None:
    account.meets_after("GET", "/api/lists/{id}", "403")
    (warning,) = account.open().look(account.target).warnings
    assert "flows:read" in warning


def test_double_opt_in_is_said(account: Account) -> None:
    account.sandbox.lists[0].opt_in = "double_opt_in"
    (warning,) = account.open().look(account.target).warnings
    assert "double opt-in is on" in warning


def test_a_list_that_is_not_there_stops_and_names_what_to_do(account: Account) -> None:
    with pytest.raises(DestinationStopped, match=r"no list `NoList` \(404\): write the id"):
        account.open().look(Target("list", "NoList"))


def test_all_lists_are_places(account: Account) -> None:
    for number in range(25):
        account.sandbox.world.new_list(f"List {number:02}")
    found = account.open().places()
    assert len(found) == 26
    assert found[0] == Place("list", account.sandbox.world.named_list("List 00").id, "List 00")


def test_the_version_that_it_is_written_for_is_one_that_klaviyo_speaks(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    assert REVISION == "2026-07-15"
    assert account.open().account()
    monkeypatch.setattr(klaviyo_client, "REVISION", "2020-01-01")
    with pytest.raises(DestinationStopped, match="400"):
        account.open().account()


def test_waiting_and_trying_again_is_no_news(account: Account, caplog: pytest.LogCaptureFixture) -> None:
    account.meets("429-after", "503")
    account.add(*changes(2))
    assert caplog.records == []


def test_the_key_is_in_nothing_that_could_be_shown(account: Account) -> None:
    destination = account.open()
    account.meets("400")
    with pytest.raises(DestinationStopped) as stopped:
        destination.account()
    shown = [repr(destination), str(vars(destination)), repr(stopped.value.__context__), repr(stopped.value)]
    assert not [text for text in shown if account.sandbox.key in text]
