"""Webhooks reach the public internet only, by whatever name or form an address hides, unless the workspace says otherwise."""

from __future__ import annotations

import pytest

from segmentry.engine.connectors.addresses import is_public
from segmentry.engine.connectors.destination import DestinationStopped, Verdict
from tests.connectors.conftest import Post, batch, nothing

PUBLIC = (
    "8.8.8.8",
    "93.184.216.34",
    "2606:4700:4700::1111",
    "2a00:1450:4001:830::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
)
PRIVATE = {
    "this machine": "127.0.0.1",
    "this machine by another number": "127.8.9.10",
    "this machine, IPv6": "::1",
    "no address": "0.0.0.0",
    "no address, IPv6": "::",
    "ten": "10.1.2.3",
    "one-seventy-two": "172.16.0.1",
    "one-ninety-two": "192.168.1.1",
    "a carrier's network": "100.64.0.1",
    "a cloud's metadata": "169.254.169.254",
    "link-local, IPv6": "fe80::1",
    "link-local with its interface": "fe80::1%eth0",
    "unique local": "fd00:ec2::254",
    "site-local, as was": "fec0::1",
    "multicast": "224.0.0.1",
    "multicast, IPv6": "ff02::1",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
    "documentation": "192.0.2.1",
    "documentation, IPv6": "2001:db8::1",
    "benchmarks": "198.18.0.1",
    "mapped into IPv6": "::ffff:127.0.0.1",
    "mapped metadata": "::ffff:a9fe:a9fe",
    "compatible, as was": "::127.0.0.1",
    "behind NAT64": "64:ff9b::7f00:1",
    "behind NAT64, metadata": "64:ff9b::a9fe:a9fe",
    "NAT64 of a network's own": "64:ff9b:1::808:808",
    "through 6to4": "2002:7f00:1::1",
    "through 6to4, ten": "2002:a01:203::1",
    "through Teredo": "2001:0:808:808::f7f7:f7f7",
    "no address at all": "crm.example",
}


@pytest.mark.parametrize("address", PUBLIC)
def test_addresses_of_the_internet(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", PRIVATE.values(), ids=PRIVATE)
def test_addresses_of_somewhere_else(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PRIVATE.values(), ids=PRIVATE)
def test_a_name_that_leads_there_stops_the_destination_and_nothing_is_sent(post: Post, address: str) -> None:
    with pytest.raises(DestinationStopped, match="allow_private") as stopped:
        post.send("a", url=f"https://crm.example:{post.sandbox.port}/hook", allow_private=False, names=lambda host, port: [address])
    assert address not in str(stopped.value) or address == "crm.example"
    assert post.sandbox.count == 0


def test_one_private_address_among_public_ones_is_enough_to_refuse(post: Post) -> None:
    with pytest.raises(DestinationStopped, match="private network"):
        post.send("a", url="https://crm.example/hook", allow_private=False, names=lambda host, port: ["8.8.8.8", "127.0.0.1"])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
def test_an_address_written_in_any_form_is_refused_by_what_it_is(post: Post, host: str) -> None:
    with pytest.raises(DestinationStopped, match="private network"):
        post.send("a", url=f"https://{host}:{post.sandbox.port}/hook", allow_private=False)


def test_the_name_is_looked_up_once_for_a_connection_and_what_was_checked_is_connected_to(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is public when it is looked at, and this machine's when it is looked at again, wins nothing."""
    looked = []
    connected = []

    def names(host: str, port: int) -> list[str]:
        looked.append(host)
        return ["203.0.113.7"] if len(looked) > 1 else ["127.0.0.1"]

    def is_fine(address: str) -> bool:
        connected.append(address)
        return True

    monkeypatch.setattr("segmentry.engine.connectors.wire.is_public", is_fine)
    destination = post.open(url=post.sandbox.url.replace("127.0.0.1", "crm.example"), allow_private=False, names=names)
    assert destination.send(batch("a"), nothing)[0].verdict is Verdict.SENT
    assert destination.send(batch("b"), nothing)[0].verdict is Verdict.SENT
    assert looked == ["crm.example"]
    assert connected == ["127.0.0.1"]


def test_proxies_of_the_environment_are_not_used(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert post.send("a").verdict is Verdict.SENT
