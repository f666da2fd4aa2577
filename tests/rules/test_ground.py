"""What a rule asks at one instant, in one timezone."""

import operator
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from segmentry.rules import nodes as n
from segmentry.rules.ground import Clock, ground, runs_of_days
from segmentry.rules.times import add_months
from segmentry.rules.zones import day_start
from tests.rules.reading import AS_OF, grounded, meaning, told

LONDON = "Europe/London"
APIA = "Pacific/Apia"

WHOLE_DAYS = {
    "date_added = '2026-03-29'": "date_added >= 2026-03-29 00:00 and date_added < 2026-03-29 23:00",
    "date_added != '2026-03-29'": "not (date_added >= 2026-03-29 00:00 and date_added < 2026-03-29 23:00)",
    "date_added after '2026-03-29'": "date_added >= 2026-03-29 23:00",
    "date_added before '2026-03-29'": "date_added < 2026-03-29 00:00",
    "date_added at least '2026-03-29'": "date_added >= 2026-03-29 00:00",
    "date_added at most '2026-03-29'": "date_added < 2026-03-29 23:00",
    "'2026-03-29' < date_added": "date_added >= 2026-03-29 23:00",
    "date_added between '2026-03-28' and '2026-03-29'": "date_added >= 2026-03-28 00:00 and date_added < 2026-03-29 23:00",
    "date_added after today()": "date_added >= 2026-03-31 23:00",
    "date_added >= start_of('month')": "date_added >= 2026-03-01 00:00",
    "date_added >= date(ago('2 days'))": "date_added >= 2026-03-29 00:00",
    "date_added in ('2026-03-28', '2026-03-29')": "date_added >= 2026-03-28 00:00 and date_added < 2026-03-29 23:00",
    "date_added in ('2026-03-29', '2026-03-29 12:00', today())": (
        "date_added in [2026-03-29 11:00] or (date_added >= 2026-03-29 00:00 and date_added < 2026-03-29 23:00)"
        " or (date_added >= 2026-03-30 23:00 and date_added < 2026-03-31 23:00)"
    ),
    "date_added > '9999-12-31'": "date_added > 9999-12-31 23:59:59.999999",
    "date_added <= '9999-12-31'": "date_added <= 9999-12-31 23:59:59.999999",
}


@pytest.mark.parametrize("text", WHOLE_DAYS)
def test_a_day_beside_an_instant_is_the_whole_day_there(text):
    assert told(grounded(text, LONDON)) == WHOLE_DAYS[text]


INSTANTS = {
    "date_added after '2026-06-30 09:00'": "date_added > 2026-06-30 08:00",
    "date_added after '2026-06-30 09:00Z'": "date_added > 2026-06-30 09:00",
    "date_added = '2026-10-25 01:30'": "date_added = 2026-10-25 00:30:00",
    "date_added = '2026-03-29 01:30'": "date_added = 2026-03-29 01:30:00",
    "date_added > ago('30 days')": "date_added > 2026-03-01 12:00",
    "date_added > ago('1 month')": "date_added > 2026-02-28 13:00",
    "date_added > ahead('1 hour')": "date_added > 2026-03-31 13:00",
    "date_added <= now()": "date_added <= 2026-03-31 12:00",
    "date_added > ago('9999 years')": "date_added > 0001-01-01 00:00",
    "date_added < ahead('9999 years')": "date_added < 9999-12-31 23:59:59.999999",
}


@pytest.mark.parametrize("text", INSTANTS)
def test_an_instant_is_utc(text):
    assert told(grounded(text, LONDON)).replace(":30:00", ":30") == INSTANTS[text].replace(":30:00", ":30")


DATES = {
    "birthday = '2026-03-29'": "birthday = 2026-03-29",
    "birthday <= today()": "birthday <= 2026-03-31",
    "birthday < start_of('week')": "birthday < 2026-03-30",
    "birthday < start_of('quarter') - '1 day' + '1 month'": "birthday < 2026-01-31",
    "birthday in ('2026-03-29', today())": "birthday in [2026-03-29, 2026-03-31]",
    # a date of a field beside an instant is its first instant
    "birthday > ago('30 days')": "birthday >= 2026-03-02",
    "birthday >= ago('30 days')": "birthday >= 2026-03-02",
    "birthday < ago('30 days')": "birthday < 2026-03-02",
    "birthday > '2026-03-02 00:00'": "birthday >= 2026-03-03",
    "birthday >= '2026-03-02 00:00'": "birthday >= 2026-03-02",
    "birthday <= '2026-03-02 00:00'": "birthday < 2026-03-03",
    "birthday = '2026-03-02 00:00'": "birthday = 2026-03-02",
    "birthday = '2026-03-02 00:01'": "false",
    "birthday in ('2026-03-02 00:00', '2026-03-03 01:00')": "birthday = 2026-03-02 or false",
    "birthday < '9999-12-31 09:00'": "birthday <= 9999-12-31",
    "birthday = last_seen": "last_seen = instant(birthday)",
    "birthday < last_seen": "last_seen > instant(birthday)",
    "birthday in (last_seen, '2026-01-01')": "birthday in [2026-01-01] or last_seen = instant(birthday)",
    "coalesce(birthday, last_seen) < now()": "coalesce(instant(birthday), last_seen) < 2026-03-31 12:00",
    "coalesce(last_seen, today()) < now()": "coalesce(last_seen, 2026-03-30 23:00) < 2026-03-31 12:00",
    "year(now()) = year(birthday)": "2026 = year(birthday)",
    "next_anniversary(birthday) = today()": "next_anniversary(birthday, 2026-03-31) = 2026-03-31",
    "next_anniversary(last_seen) = '2026-04-01'": "next_anniversary(date(last_seen), 2026-03-31) = 2026-04-01",
}


@pytest.mark.parametrize("text", DATES)
def test_dates_are_compared_as_dates(text):
    assert told(grounded(text, LONDON)) == DATES[text]


WINDOWS = {
    "date_added in the last '30 days'": "date_added > 2026-03-01 12:00 and date_added <= 2026-03-31 12:00",
    "date_added in the last '1 month'": "date_added > 2026-02-28 13:00 and date_added <= 2026-03-31 12:00",
    "date_added in the next '12 hours'": "date_added > 2026-03-31 12:00 and date_added <= 2026-04-01 00:00",
    "birthday in the last '30 days'": "birthday > 2026-03-01 and birthday <= 2026-03-31",
    "birthday in the last '1 month'": "birthday > 2026-02-28 and birthday <= 2026-03-31",
    "birthday in the next '7 days'": "birthday >= 2026-03-31 and birthday < 2026-04-07",
    "birthday in the next '1 month'": "birthday >= 2026-03-31 and birthday < 2026-04-30",
    "not birthday in the last '1 year'": "not (birthday > 2025-03-31 and birthday <= 2026-03-31)",
}


@pytest.mark.parametrize("text", WINDOWS)
def test_windows_are_half_open(text):
    assert told(grounded(text, LONDON)) == WINDOWS[text]


PERIODS = {
    "birthday is today": "birthday = 2026-03-31",
    "birthday is not yesterday": "not (birthday = 2026-03-30)",
    "birthday is tomorrow": "birthday = 2026-04-01",
    "birthday in this week": "birthday >= 2026-03-30 and birthday <= 2026-04-05",
    "birthday in last month": "birthday >= 2026-02-01 and birthday <= 2026-02-28",
    "birthday in next quarter": "birthday >= 2026-04-01 and birthday <= 2026-06-30",
    "birthday not in last year": "not (birthday >= 2025-01-01 and birthday <= 2025-12-31)",
    "date_added is today": "date_added >= 2026-03-30 23:00 and date_added < 2026-03-31 23:00",
    "date_added in this month": "date_added >= 2026-03-01 00:00 and date_added < 2026-03-31 23:00",
    "date_added during 'Last QUARTER'": "date_added >= 2025-09-30 23:00 and date_added < 2026-01-01 00:00",
    "during(date_added, 'next year')": "date_added >= 2027-01-01 00:00 and date_added < 2028-01-01 00:00",
}


@pytest.mark.parametrize("text", PERIODS)
def test_calendar_periods_are_their_whole_days(text):
    assert told(grounded(text, LONDON)) == PERIODS[text]


TICK = timedelta(microseconds=1)
EVENT_WINDOWS = {
    "did(any_event)": (None, AS_OF),
    "did(any_event, last => '30 days')": (datetime(2026, 3, 1, 12, tzinfo=UTC) + TICK, AS_OF),
    "did(any_event, last => '1 month')": (datetime(2026, 2, 28, 13, tzinfo=UTC) + TICK, AS_OF),
    "did(any_event, since => '2026-03-30')": (datetime(2026, 3, 29, 23, tzinfo=UTC), AS_OF),
    "did(any_event, since => '2026-03-30 09:00')": (datetime(2026, 3, 30, 8, tzinfo=UTC), AS_OF),
    "did(any_event, since => start_of('year'))": (datetime(2026, 1, 1, tzinfo=UTC), AS_OF),
    "did(any_event, until => '2026-03-28')": (None, datetime(2026, 3, 29, tzinfo=UTC) - TICK),
    "did(any_event, until => '2026-03-28 10:00')": (None, datetime(2026, 3, 28, 10, tzinfo=UTC)),
    "did(any_event, until => ago('1 day'))": (None, AS_OF - timedelta(days=1)),
    "did(any_event, until => today())": (None, AS_OF),
    "did(any_event, until => ahead('1 year'))": (None, AS_OF),
    "did(any_event, last => '30 days', since => '2026-03-10', until => '2026-03-20')": (
        datetime(2026, 3, 10, tzinfo=UTC), datetime(2026, 3, 21, tzinfo=UTC) - TICK),
    "did(any_event, last => '1 day', until => '2026-03-20')": (
        AS_OF - timedelta(days=1) + TICK, datetime(2026, 3, 21, tzinfo=UTC) - TICK),
    "did(any_event, last => '9999 years')": (datetime.min.replace(tzinfo=UTC) + TICK, AS_OF),
    "did(any_event, until => '9999-12-31')": (None, AS_OF),
    "did(any_event, during => 'last month')": (datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC) - TICK),
    "did(any_event, during => 'this month')": (datetime(2026, 3, 1, tzinfo=UTC), AS_OF),
    "did(any_event, during => 'yesterday')": (datetime(2026, 3, 29, 23, tzinfo=UTC), datetime(2026, 3, 30, 23, tzinfo=UTC) - TICK),
    "did(any_event, last => '7 days', during => 'last week')": (
        AS_OF - timedelta(days=7) + TICK, datetime(2026, 3, 29, 23, tzinfo=UTC) - TICK),
}  # fmt: skip


@pytest.mark.parametrize("text", EVENT_WINDOWS)
def test_the_bounds_of_an_event_function_are_one_window(text):
    events = grounded(text, LONDON).events
    assert (events.window.first, events.window.final) == EVENT_WINDOWS[text]
    assert (events.last, events.since, events.until, events.during) == (None, None, None, None)


def test_conditions_on_event_rows_are_grounded_too():
    events = grounded("count(order_placed, delivery in the next '7 days', created_at > contact.date_added) > 1").left.events
    assert told(events.where) == "(delivery >= 2026-03-31 and delivery < 2026-04-07) and created_at > date_added"


def test_weeks_begin_with_the_workspace_s_day():
    assert told(grounded("birthday < start_of('week')", week_start="sunday")) == "birthday < 2026-03-29"


def test_a_day_that_was_skipped_begins_with_the_next():
    # 30 December 2011 did not exist in Samoa: it and the 31st begin at one instant
    begin = "2011-12-30 10:00"
    assert told(grounded(f"birthday = '{begin}Z'", APIA)) == "birthday >= 2011-12-30 and birthday < 2012-01-01"
    assert told(grounded(f"birthday > '{begin}Z'", APIA)) == "birthday >= 2012-01-01"
    assert told(grounded(f"birthday < '{begin}Z'", APIA)) == "birthday < 2011-12-30"
    assert told(grounded("date_added = '2011-12-30'", APIA)) == f"date_added >= {begin} and date_added < {begin}"


@pytest.mark.parametrize("zone", [LONDON, APIA, "America/St_Johns", "America/Sao_Paulo", "Asia/Beirut"])
def test_comparisons_of_dates_agree_with_those_of_their_first_instants(zone, draws):
    holds = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq}

    def answer(condition, day):
        match condition:
            case n.And():
                return all(answer(item, day) for item in condition.items)
            case n.Always():
                return condition.value
        return holds[condition.op](day, condition.right.value)

    birthday = n.Field(n.DATE, n.Scope.CONTACT, "birthday")
    clock = Clock(AS_OF, zone)
    for _ in range(100):
        near = date(1980, 1, 1) + timedelta(days=draws.randrange(60 * 365))
        instant = day_start(near, zone) + timedelta(seconds=draws.choice([0, 0, -1, 1, 3600]))
        for op, compare in holds.items():
            condition = ground(n.Compare(op, birthday, n.Constant(n.TIMESTAMP, instant)), clock)
            for day in [near + timedelta(days=step) for step in range(-3, 4)]:
                assert answer(condition, day) == compare(day_start(day, zone), instant), (op, day, instant)


CLOCKS = (n.AsOf, n.Day, n.InWindow, n.During)


@pytest.mark.parametrize("text", [*WHOLE_DAYS, *INSTANTS, *DATES, *WINDOWS, *PERIODS, *EVENT_WINDOWS])
@pytest.mark.parametrize("as_of", [datetime(1, 1, 1, tzinfo=UTC), AS_OF, datetime.max.replace(tzinfo=UTC)], ids=["first", "usual", "last"])
def test_no_clock_is_left_at_any_instant(text, as_of):
    for zone in ("UTC", "Asia/Tokyo", "America/New_York"):
        for node in n.walk(grounded(text, zone, as_of)):
            assert not isinstance(node, CLOCKS)
            if isinstance(node, n.Constant) and isinstance(node.value, datetime):
                assert node.value.tzinfo is UTC
            if isinstance(node, n.Compare):
                assert node.left.type.kind is node.right.type.kind


def test_grounding_what_is_grounded_changes_nothing():
    once = grounded("date_added after '2026-03-29' and birthday > ago('1 day') and location = 'UK'", LONDON)
    assert ground(once, Clock(AS_OF, LONDON)) == once


def test_a_clock_is_aware_and_of_a_known_zone():
    assert Clock(datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))).as_of == datetime(2026, 1, 1, tzinfo=UTC)
    for wrong in ({"as_of": datetime(2026, 1, 1)}, {"as_of": AS_OF, "zone": "Mars"}, {"as_of": AS_OF, "week_start": "Monday"}):  # noqa: DTZ001
        with pytest.raises(ValueError, match=r"timezone|zone|weekday"):
            Clock(**wrong)


def test_neighbouring_days_are_one_run():
    first = date(2026, 2, 27)
    days = [first, first + timedelta(days=2), first + timedelta(days=1), date(2026, 5, 1), first]
    assert runs_of_days(days) == [(first, date(2026, 3, 1)), (date(2026, 5, 1), date(2026, 5, 1))]
    assert add_months(date(2026, 1, 31), 1) == date(2026, 2, 28)


def test_meaning_is_left_as_it_was():
    condition = meaning("date_added in the last '30 days'")
    ground(condition, Clock(AS_OF))
    assert isinstance(condition, n.InWindow)
