"""Signed webhooks, as Standard Webhooks 1.0.0 has them: HMAC-SHA256 over id, time of the attempt and the bytes of the body."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime

PREFIX = "whsec_"
SIZES = range(24, 65)
TOLERANCE = 300
"""Seconds that a signed time may be off the receiver's clock."""
ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"


def key_of(secret: str) -> bytes:
    """The key that a secret says; raises ValueError, whose text doesn't hold the secret."""
    text = secret.strip()
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(PREFIX) or len(key) not in SIZES:
        raise ValueError(f"no webhook secret: one is `{PREFIX}` and the base64 of 24 to 64 bytes")
    return key


def signed_headers(keys: Iterable[bytes], id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The three headers of one attempt. Every key signs, so a receiver knows the old one or the new while they change."""
    seconds = str(int(at.timestamp()))
    return {ID: id, TIMESTAMP: seconds, SIGNATURE: " ".join(_signature(key, id, seconds, body) for key in keys)}


def problem_of(keys: Iterable[bytes], headers: Mapping[str, str], body: bytes, now: datetime) -> str | None:
    """Why a receiver with these keys must not believe the message; None if it may. `headers` are named in lower case."""
    missing = [name for name in (ID, TIMESTAMP, SIGNATURE) if not headers.get(name)]
    if missing:
        return f"no {missing[0]}"
    seconds = headers[TIMESTAMP]
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= 12):
        return "a timestamp that is no number"
    if abs(int(seconds) - now.timestamp()) > TOLERANCE:
        return "a timestamp too far from now"
    offered = [signature.encode() for signature in headers[SIGNATURE].split(" ")]
    ours = [_signature(key, headers[ID], seconds, body).encode() for key in keys]
    if any([hmac.compare_digest(mine, theirs) for mine in ours for theirs in offered]):  # noqa: C419 - all are compared, in equal time
        return None
    return "no signature that fits"


def _signature(key: bytes, id: str, seconds: str, body: bytes) -> str:
    digest = hmac.digest(key, f"{id}.{seconds}.".encode() + body, "sha256")
    return "v1," + base64.b64encode(digest).decode()
