"""JSON as it is stored and compared: one text for one value."""

from __future__ import annotations

import json

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def dumps(value: object) -> str:
    """Canonical JSON text: sorted keys, no spaces."""
    return _ENCODER.encode(value)
