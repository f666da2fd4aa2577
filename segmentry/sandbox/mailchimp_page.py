"""What the Mailchimp stand-in shows of itself, as JSON and as a page: plain HTML, no script, everything escaped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from html import escape
from itertools import islice
from typing import Any

from segmentry.sandbox.mailchimp_state import Audience, World

SHOWN = 200
"""So many members of an audience, mails and requests, the newest first."""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="5"><title>Segmentry's Mailchimp sandbox</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem; color: #222 }}
table {{ border-collapse: collapse; width: 100% }}
td, th {{ border-bottom: 1px solid #ddd; padding: .3rem .8rem .3rem 0; text-align: left; vertical-align: top; overflow-wrap: anywhere }}
</style></head><body>
<h1>Mailchimp sandbox</h1>
<p>Account {account}, {count:,} requests. The newest {shown} of everything are below.</p>
{content}<p><code>GET /state</code> gives this as JSON, <code>POST /sandbox/people</code> does what people do,
<code>POST /reset</code> forgets it, <code>POST /cruel</code> changes how it answers.</p>
</body></html>
"""


def state(world: World, requests: Sequence[dict[str, Any]], count: int) -> dict[str, Any]:
    """Everything there is to see, of what is many the newest."""
    return {
        "account": world.account,
        "count": count,
        "audiences": [_audience(audience) for audience in world.audiences.values()],
        "journeys": [asdict(journey) for journey in world.journeys.values()],
        "mails": [asdict(mail) for mail in _newest(world.sent)],
        "batches": [
            {"id": batch.id, "status": batch.status, "operations": len(batch.operations)} for batch in _newest(list(world.batches.values()))
        ],
        "resubscribed": [asdict(one) for one in world.resubscribed],
        "forbidden": [asdict(one) for one in world.forbidden],
        "requests": _newest(requests),
    }


def page(seen: dict[str, Any]) -> str:
    """What `state` says, for people."""
    parts = [
        *(
            _table(f"{title}: {len(seen[key])}", seen[key])
            for key, title in (("resubscribed", "Subscribed again by a request, which must never be"), ("forbidden", "Forbidden calls"))
            if seen[key]
        ),
        *(part for audience in seen["audiences"] for part in _audience_parts(audience)),
        _table("Journeys", seen["journeys"]),
        _table("Mails", seen["mails"]),
        _table("Batches", seen["batches"]),
        _table("Requests", seen["requests"]),
    ]
    return _PAGE.format(account=escape(seen["account"]), count=seen["count"], shown=SHOWN, content="".join(parts))


def _audience(audience: Audience) -> dict[str, Any]:
    counts = Counter(member.status for member in audience.members.values())
    return {
        "id": audience.id,
        "name": audience.name,
        "double_optin": audience.double_optin,
        "statuses": dict(sorted(counts.items())),
        "tags": {tag.name: len(tag.members) for tag in audience.tags.values()},
        "members": [
            {
                "email": member.email,
                "status": member.status,
                "tags": [audience.tags[id].name for id in member.tags],
                "fields": member.fields,
                "changed": member.changed,
            }
            for member in islice(reversed(audience.members.values()), SHOWN)
        ],
    }


def _audience_parts(audience: dict[str, Any]) -> Iterable[str]:
    statuses = ", ".join(f"{count:,} {status}" for status, count in audience["statuses"].items()) or "nobody"
    yield f"<h2>{escape(audience['name'])} <code>{escape(audience['id'])}</code></h2>\n<p>{escape(statuses)}</p>\n"
    yield _table("Tags", [{"tag": name, "members": count} for name, count in audience["tags"].items()])
    yield _table("Members", audience["members"])


def _table(title: str, rows: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{escape(name)}" for name in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{escape(_text(value))}" for value in row.values()) + "</tr>\n" for row in rows)
    return f"<h3>{escape(title)}</h3>\n<table><tr>{head}</tr>\n{body}</table>\n"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {one}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _newest(found: Sequence[Any]) -> Sequence[Any]:
    return found[: -SHOWN - 1 : -1]
