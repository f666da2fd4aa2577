"""Posting a notice to an operator's own address: plain JSON, unsigned, as chat rooms and pagers take it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from segmentry.engine.connectors.wire import NotReachedError, UnclearError, Wire

SECONDS = 20.0


def post(url: str, body: Mapping[str, Any]) -> str | None:
    """Posts the body: None, or why it failed, without the address, which may hold a secret. Private networks are allowed: it is ours."""
    if not url.lower().startswith(("https://", "http://")):
        return "the address does not begin with https://"
    headers = {"content-type": "application/json", "user-agent": "segmentry"}
    try:
        with closing(Wire(connections=1, allow_private=True)) as wire:
            reply = wire.post(url, headers, json.dumps(body, ensure_ascii=False).encode(), SECONDS)
    except (NotReachedError, UnclearError) as error:
        return str(error)
    return None if 200 <= reply.status < 300 else f"the address answered {reply.status}"
