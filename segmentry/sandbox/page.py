"""The page that a sandbox shows of itself: plain HTML, no script, everything escaped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from html import escape

from segmentry.sandbox.inbox import Arrival

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="5"><title>Segmentry's webhook sandbox</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem; color: #222 }}
table {{ border-collapse: collapse; width: 100% }}
td, th {{ border-bottom: 1px solid #ddd; padding: .3rem .8rem .3rem 0; text-align: left; vertical-align: top }}
code {{ font-size: 13px; overflow-wrap: anywhere }}
</style></head><body>
<h1>Webhook sandbox</h1>
<p>{summary}</p>
{refused}<table><tr><th>type<th>id<th>times<th>verified<th>first<th>last<th>body</tr>
{rows}</table>
<p><code>GET /events</code> gives this as JSON, <code>POST /reset</code> forgets it, <code>POST /cruel</code> changes how it answers.</p>
</body></html>
"""
_SHOWN = 200


def page(arrivals: Iterable[Arrival], refused: Mapping[str, int], requests: int) -> str:
    """The newest arrivals, and how many messages were refused."""
    found = list(arrivals)
    more = f", the newest {_SHOWN} below" if len(found) > _SHOWN else ""
    items = "".join(f"<li>{times} refused: {escape(why)}" for why, times in refused.items())
    return _PAGE.format(
        summary=f"{len(found):,} arrived in {requests:,} requests{more}.",
        refused=f"<ul>{items}</ul>\n" if items else "",
        rows="".join(map(_row, reversed(found[-_SHOWN:]))),
    )


def _row(arrival: Arrival) -> str:
    cells = (arrival.type, arrival.id, str(arrival.times), "yes" if arrival.verified else "no", arrival.first, arrival.last)
    body = json.dumps(arrival.body, ensure_ascii=False)
    return "<tr>" + "".join(f"<td>{escape(cell)}" for cell in cells) + f"<td><code>{escape(body)}</code></tr>\n"
