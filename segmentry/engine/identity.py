"""What tells enrollments and addresses apart: ids that are the same whenever they are made, and keyed hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from uuid import UUID, uuid5

from segmentry.engine.canonical_json import dumps

HASH_BYTES = 8
"""Of an address's hash: with ten million addresses known, a new one is taken for another in one of a trillion cases."""


def enrollment_id(workspace: str, environment: str, sequence: str, kind: str, key: str, number: int) -> str:
    """An enrollment's id (UUIDv5, RFC 9562), the receiver's idempotency key.

    `sequence` is the name the sequence was first known by, `kind` and `key` the contact's key and what it is (`integer`,
    `text`, `uuid`), `number` counts the contact's enrollments in the sequence from 1.
    """
    return str(uuid5(_namespace(workspace), dumps([environment, sequence, kind, key, number])))


def change_id(workspace: str, parts: Sequence[str]) -> str:
    """The id of one change of a sync (UUIDv5), the receiver's idempotency key: the same as long as its parts are."""
    return str(uuid5(_namespace(workspace), dumps(["sync", *parts])))


@cache
def _namespace(workspace: str) -> UUID:
    return UUID(workspace)


def normalised_address(address: str | None) -> str | None:
    """An e-mail address trimmed and lower-cased; None for what is empty then."""
    return (address or "").strip().lower() or None


def address_hash(secret: str, address: str | None) -> str | None:
    """A keyed BLAKE2b hash (RFC 7693) of a normalised address, in hex: worth nothing without the catalog's own secret (hex)."""
    if address is None:
        return None
    return hashlib.blake2b(address.encode(), key=bytes.fromhex(secret), digest_size=HASH_BYTES).hexdigest()
