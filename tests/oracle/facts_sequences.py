"""Examples for what is written about events one after the other, calendar periods and events by the beginning of their names."""

from __future__ import annotations

from tests.oracle import language as lang
from tests.oracle.facts import NY, P, cmp, did, eq, happening, n, utc
from tests.oracle.language import Duration, Sequence, Step, Window

DAY = 86400 * 10**6
AS_OF = utc("2024-06-15T12:00:00")
BUY, SELL, VIEW = Step("buy"), Step("sell"), Step("view")
NO_VIEW = Step("view", negated=True)
WEEK = Duration(7, "day")


def at(day: int, more: int = 0) -> int:
    """So many days of June 2024, at noon."""
    return utc("2024-06-01T12:00:00") + (day - 1) * DAY + more


happening(
    "steps are strictly later than those before", "string",
    [(1, "buy", at(1), "a"), (1, "sell", at(1, 1), "a"), (2, "buy", at(1), "a"), (2, "sell", at(1), "a"), (3, "sell", at(1), "a"),
     (3, "buy", at(2), "a")],
    Sequence((BUY, SELL)), "sequence(did(buy), did(sell))", {1}, contacts=4,
)  # fmt: skip
happening(
    "steps are different events", "string", [(1, "buy", at(1), "a"), (2, "buy", at(1), "a"), (2, "buy", at(1), "a"),
     (3, "buy", at(1), "a"), (3, "buy", at(2), "a")],
    Sequence((BUY, BUY)), "sequence(did(buy), did(buy))", {3}, contacts=3,
)  # fmt: skip
happening(
    "no such event strictly between: at a step's own instant it is not", "string",
    [(c, "buy", at(1), "a") for c in (1, 2, 3)] + [(c, "sell", at(3), "a") for c in (1, 2, 3)]
    + [(1, "view", at(1), "a"), (1, "view", at(3), "a"), (2, "view", at(1, 1), "a"), (3, "view", at(3, -1), "a")],
    Sequence((BUY, NO_VIEW, SELL)), "sequence(did(buy), not did(view), did(sell))", {1}, contacts=3,
)  # fmt: skip
happening(
    "it is enough that some events of the contact fit", "string",
    [(1, "buy", at(1), "a"), (1, "view", at(2), "a"), (1, "buy", at(3), "a"), (1, "sell", at(4), "a"), (1, "view", at(5), "a"),
     (1, "sell", at(6), "a")],
    Sequence((BUY, NO_VIEW, SELL)), "sequence(did(buy), not did(view), did(sell))", {1}, contacts=1,
)  # fmt: skip
happening(
    "within is exactly that long at most, from the first step to the last", "string",
    [(1, "buy", at(1), "a"), (1, "sell", at(8), "a"), (2, "buy", at(1), "a"), (2, "sell", at(8, 1), "a")],
    Sequence((BUY, SELL), WEEK), "sequence(did(buy), did(sell), within => '7 days')", {1},
)  # fmt: skip
happening(
    "within of a step is since the step before", "string",
    [(1, "buy", at(1), "a"), (1, "view", at(8), "a"), (1, "sell", at(9), "a"), (2, "buy", at(1), "a"), (2, "view", at(2), "a"),
     (2, "sell", at(9), "a")],
    Sequence((BUY, VIEW, Step("sell", within=Duration(1, "day")))), "sequence(did(buy), did(view), did(sell, within => '1 day'))", {1},
)  # fmt: skip
happening(
    "a negated end looks as far as the whole may take, from the first step", "string",
    [(c, "buy", at(1), "a") for c in (1, 2, 3)] + [(c, "sell", at(4), "a") for c in (1, 2, 3)]
    + [(1, "view", at(8, 1), "a"), (2, "view", at(8), "a"), (3, "view", at(4), "a")],
    Sequence((BUY, SELL, NO_VIEW), WEEK), "sequence(did(buy), did(sell), not did(view), within => '7 days')", {1, 3}, contacts=3,
)  # fmt: skip
happening(
    "or as far as its own within, from the step before", "string",
    [(c, "buy", at(1), "a") for c in (1, 2)] + [(1, "view", at(3, 1), "a"), (2, "view", at(3), "a")],
    Sequence((BUY, Step("view", negated=True, within=Duration(2, "day")))), "sequence(did(buy), not did(view, within => '2 days'))", {1},
)  # fmt: skip
happening(
    "or up to now", "string", [(1, "buy", at(1), "a"), (2, "buy", at(1), "a"), (2, "view", AS_OF, "a"), (3, "buy", at(1), "a"),
     (3, "view", AS_OF + 1, "a")],
    Sequence((BUY, NO_VIEW)), "sequence(did(buy), not did(view))", {1, 3}, contacts=3,
)  # fmt: skip
happening(
    "the window of a sequence bounds all its steps", "string",
    [(1, "buy", AS_OF - 7 * DAY, "a"), (1, "sell", at(14), "a"), (2, "buy", AS_OF - 7 * DAY + 1, "a"), (2, "sell", at(14), "a")],
    Sequence((BUY, SELL), window=Window(last=WEEK)), "sequence(did(buy), did(sell), last => '7 days')", {2},
)  # fmt: skip
SAME = eq(P, lang.Former(0, "buy", "p", lang.TEXT))
happening(
    "a step may ask a former one; a missing value makes it false", "string",
    [(1, "buy", at(1), "a"), (1, "sell", at(2), "a"), (2, "buy", at(1), "a"), (2, "sell", at(2), "b"), (3, "buy", at(1), None),
     (3, "sell", at(2), None)],
    Sequence((BUY, Step("sell", (SAME,)))), "sequence(did(buy), did(sell, p = buy.p))", {1}, contacts=3,
)  # fmt: skip
happening(
    "a negated step may ask too", "string",
    [(1, "buy", at(1), "a"), (1, "sell", at(2), "a"), (2, "buy", at(1), "a"), (2, "sell", at(2), "b"), (3, "buy", at(1), None),
     (3, "sell", at(2), "a")],
    Sequence((BUY, Step("sell", (SAME,), negated=True))), "sequence(did(buy), not did(sell, p = buy.p))", {2, 3}, contacts=3,
)  # fmt: skip
happening(
    "a text that ends in a star is every event whose name begins so", "string",
    [(1, "buy", 0, "a"), (2, "buying", 0, "a"), (3, "Buy", 0, "a"), (4, "bu", 0, "a"), (5, None, 0, "a")],
     did(event=lang.Prefix("buy")), "did('buy*')", {1, 2},
    contacts=5,
)  # fmt: skip
happening(
    "a name in double quotes is that very name", "string", [(1, "buy*", 0, "a"), (2, "buying", 0, "a")],
     did(event="buy*"), 'did("buy*")', {1},
)  # fmt: skip
PERIODS = lang.ActivePeriods("buy", (), "week", 2)
happening(
    "calendar weeks, this one included: Monday the 10th to now, and the one before", "string",
    [(1, "buy", utc("2024-06-10T00:00:00"), "a"), (1, "buy", utc("2024-06-09T23:59:59"), "a"),
     (2, "buy", utc("2024-06-03T00:00:00"), "a"),
     (3, "buy", utc("2024-06-02T23:59:59"), "a"), (4, "buy", utc("2024-06-10T00:00:00"), "a"), (4, "buy", AS_OF, "a")],
    cmp(PERIODS, "=", n("1")), "active_periods(buy, period => 'week', of => 2) = 1", {2, 4}, contacts=5,
)  # fmt: skip
happening(
    "in the workspace's timezone", "string", [(1, "buy", utc("2024-06-15T04:00:00"), "a"),
     (2, "buy", utc("2024-06-15T03:59:59.999999"), "a")],
    cmp(lang.ActivePeriods("buy", (), "day", 1), ">", n("0")), "active_periods(buy, period => 'day', of => 1) > 0", {1}, **NY,
)  # fmt: skip
happening(
    "at least so many in each", "string", [(1, "buy", at(14), "a"), (1, "buy", at(14), "a"), (2, "buy", at(14), "a"),
     (2, "buy", at(1), "a")],
    cmp(lang.ActivePeriods("buy", (), "week", 4, 2), ">=", n("1")),
     "active_periods(buy, period => 'week', of => 4, at_least => 2) >= 1", {1},
)  # fmt: skip
