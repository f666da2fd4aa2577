"""Where a webhook may go: the addresses of a name, and whether one is the public internet's.

A receiver's name is somebody else's to point, also at this machine, its neighbours or a cloud's metadata. So the addresses
that a name has are checked, all of them, and the connection goes to the very address that was checked.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

Resolve = Callable[[str, int], Sequence[str]]
"""The addresses of a name, to be tried in their order; raises OSError where it has none."""

_GLOBAL_UNICAST = IPv6Network("2000::/3")
"""All that is given out of IPv6; the rest is reserved, local or a form of something else."""
_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")


def resolve(host: str, port: int) -> Sequence[str]:
    """What the operating system says, which takes the time it takes; each address once."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet. An IPv4 address within an IPv6 one counts as what it is."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv4Address):
        return _is_public_v4(ip)
    if ip.scope_id is not None:
        return False
    inner = _inner(ip)
    if inner is not None:
        return _is_public_v4(inner)
    return ip in _GLOBAL_UNICAST and ip.is_global and not ip.is_multicast and ip.teredo is None


def _is_public_v4(ip: IPv4Address) -> bool:
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def _inner(ip: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one leads to: mapped, compatible, 6to4, NAT64."""
    if ip in _NAT64 or ip in _COMPATIBLE:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour
