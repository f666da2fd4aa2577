"""What the Klaviyo stand-in shows of itself: as JSON, and as a page of plain HTML, no script, everything escaped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from html import escape
from itertools import islice
from typing import Any, Protocol

from segmentry.sandbox.klaviyo_state import Profile, World

_SHOWN = 100
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="5"><title>Segmentry's Klaviyo sandbox</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem; color: #222 }}
table {{ border-collapse: collapse; width: 100%; margin-bottom: 2rem }}
td, th {{ border-bottom: 1px solid #ddd; padding: .3rem .8rem .3rem 0; text-align: left; vertical-align: top }}
code {{ font-size: 13px; overflow-wrap: anywhere }}
</style></head><body>
<h1>Klaviyo sandbox</h1>
<p>Account <code>{account}</code> at <code>{url}</code>: {profiles:,} profiles, {events:,} events, {requests:,} requests{forbidden}.</p>
{tables}<p><code>GET /state</code> gives this as JSON, <code>POST /sandbox/people</code> does what people do there, <code>POST /reset</code>
forgets it, <code>POST /cruel</code> changes how it answers.</p>
</body></html>
"""


class Asking(Protocol):
    """A request that came."""

    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def query(self) -> str: ...
    @property
    def status(self) -> int | None: ...
    @property
    def met(self) -> str | None: ...


def state_of(world: World) -> dict[str, Any]:
    """Everything that is there. Members, events and flows name people by their ids."""
    return {
        "lists": [
            {"id": one.id, "name": one.name, "opt_in_process": one.opt_in, "members": list(one.members)} for one in world.lists.values()
        ],
        "profiles": [_profile(one) for one in world.profiles.values()],
        "events": [asdict(one) for one in world.events.values()],
        "jobs": [{**asdict(one), "given": len(one.given)} for one in world.jobs.values()],
        "flows": [asdict(one) for one in world.flows.values()],
        "flow_starts": [list(one) for one in world.flow_starts],
    }


def _profile(one: Profile) -> dict[str, Any]:
    return {
        "id": one.id,
        **one.attributes,
        "properties": one.properties,
        "consent": one.consent.state,
        "suppressed": [reason for reason, _ in one.consent.suppressed],
        "created": one.created,
        "updated": one.updated,
    }


def page(world: World, account: str, url: str, requests: Sequence[Asking], count: int, forbidden: int) -> str:
    """Lists with their newest members, and the newest profiles, events, jobs and requests."""
    tables = [
        _table(f"{one.name} ({one.id}), {len(one.members):,} members", ["profile", "e-mail", "since"], _members(world, one.members.at))
        for one in world.lists.values()
    ]
    tables += [
        _table("Profiles", ["id", "e-mail", "external id", "consent", "suppressed", "properties"], map(_shown, _newest(world.profiles))),
        _table(
            "Events",
            ["metric", "profile", "id", "time", "told", "properties"],
            ([one.metric, one.profile, one.unique_id, one.time, one.times, _json(one.body)] for one in _newest(world.events)),
        ),
        _table(
            "Import jobs",
            ["id", "status", "profiles", "failed", "lists"],
            ([one.id, one.status, one.total, len(one.errors), " ".join(one.lists)] for one in _newest(world.jobs)),
        ),
        _table(
            "Requests",
            ["method", "path", "status", "met"],
            ([one.method, _asked(one), one.status or "", one.met or ""] for one in islice(reversed(requests), _SHOWN)),
        ),
    ]
    return _PAGE.format(
        account=escape(account),
        url=escape(url),
        profiles=len(world.profiles),
        events=len(world.events),
        requests=count,
        forbidden=f", <strong>{forbidden:,} of them forbidden to a sync</strong>" if forbidden else "",
        tables="".join(tables),
    )


def _newest(found: dict[str, Any]) -> Iterable[Any]:
    return islice(reversed(found.values()), _SHOWN)


def _members(world: World, at: Mapping[str, str]) -> Iterable[list[Any]]:
    for id in islice(reversed(list(at)), _SHOWN):
        yield [id, world.profiles[id].email or "", at[id]]


def _shown(one: Profile) -> list[Any]:
    suppressed = " ".join(reason for reason, _ in one.consent.suppressed)
    return [one.id, one.email or "", one.external_id or "", one.consent.state, suppressed, _json(one.properties)]


def _asked(one: Asking) -> str:
    return f"{one.path}?{one.query}" if one.query else one.path


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _table(title: str, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    head = "".join(f"<th>{escape(name)}" for name in names)
    body = "".join("<tr>" + "".join(f"<td><code>{escape(str(cell))}</code></td>" for cell in row) + "</tr>\n" for row in rows)
    return f"<h2>{escape(title)}</h2>\n<table><tr>{head}</tr>\n{body}</table>\n"
