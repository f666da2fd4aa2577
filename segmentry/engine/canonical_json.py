"""JSON as it is stored and compared: one text for one value."""

from __future__ import annotations

import json


def dumps(value: object) -> str:
    """Canonical JSON text: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
