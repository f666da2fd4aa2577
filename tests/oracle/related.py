"""Random rules about few things, so that they have to do with each other: the same values and events, with literals near the data's."""

from __future__ import annotations

import random

from tests.oracle import language as lang
from tests.oracle.datasets import DATE_DURATIONS, DURATIONS, Dataset, Table
from tests.oracle.rules import COMPARISONS, PERCENTS, Rules

MOMENTS = ("timestamp", "date")


class Related(Rules):
    """Draws conditions about a handful of values and two choices of events."""

    def __init__(self, draw: random.Random, data: Dataset, segments: list[str]) -> None:
        super().__init__(draw, data, segments)
        self.subjects: list[lang.Value] = [
            draw.choice(self.fields("text")),
            self.text(1),
            draw.choice(self.fields("exact")),
            draw.choice(self.fields("float")),
            self.number(1),
            draw.choice(self.fields("timestamp")),
            draw.choice(self.fields("date")),
            self.moment(1),
            draw.choice(self.fields("boolean")),
        ]
        self.subjects = draw.sample(self.subjects, 4)
        self.happenings = [found for _ in range(2) if (found := self.event()) is not None]
        self.chosen = [self.choice_of_events(name, tables) for name, tables in self.happenings for _ in range(3)]

    # --- events

    def choice_of_events(self, name: str | None, tables: list[Table]) -> tuple[str | None, list[Table], list[lang.Condition]]:
        """An event and conditions on its rows, all of them about one or two columns."""
        self.table = tables
        try:
            fields = self.event_columns(tables, "text", "exact", "float", "date", "boolean")
            subjects = self.draw.sample(fields, min(2, len(fields)))
            return name, tables, [self.about(self.draw.choice(subjects)) for _ in range(4)] if subjects else []
        finally:
            self.table = None

    def some_events(self) -> tuple[str | None, tuple[lang.Condition, ...], lang.Window, list[Table]] | None:
        if not self.chosen:
            return None
        name, tables, filters = self.draw.choice(self.chosen)
        if self.draw.random() < 0.15:
            name, tables = None, list(self.data.tables)
            columns = set(self.event_columns(tables, "text", "exact", "float", "date", "boolean"))
            filters = [one for one in filters if columns.issuperset(n for n in lang.walk(one) if isinstance(n, lang.Field) and not n.outer)]
        picked = self.draw.sample(filters, min(len(filters), self.draw.choice([0, 0, 1, 1, 2])))
        if self.draw.random() < 0.15 and picked:
            picked = [lang.Not(picked[0]), *picked[1:]]
        return name, tuple(picked), self.draw.choice([lang.Window(), self.window(), self.window()]), tables

    def behaviour(self) -> lang.Condition | None:
        """Did, or an aggregate beside a small number or a moment."""
        draw, found = self.draw, self.some_events()
        if found is None:
            return None
        name, filters, window, tables = found
        match draw.randrange(6):
            case 0 | 1:
                return lang.Did(name, filters, window)
            case 2 | 3:
                made = lang.Aggregate("count", name, None, filters, window, None)
                return lang.Compare(draw.choice(COMPARISONS), made, lang.Number(str(draw.choice([0, 0, 1, 1, 2, 3]))))
            case 4:
                made = lang.Aggregate(draw.choice(["first", "last"]), name, None, filters, window, None)
                return self.about(made)
        fields = self.event_columns(tables, "exact", "float")
        if not fields:
            return None
        function = draw.choice(["sum", "min", "max", "distinct", "avg", "latest"])
        field = draw.choice(fields[:2])
        return self.about(lang.Aggregate(function, name, field.name, filters, window, field.type, self.data.scale))

    # --- conditions

    def about(self, x: lang.Value) -> lang.Condition:
        """A condition of a value."""
        draw, kind = self.draw, x.type.kind
        chance = draw.random()
        if chance < 0.1:
            return lang.IsSet(x, draw.random() < 0.3)
        if kind == "boolean":
            return draw.choice([lang.IsTrue(x), lang.Compare("=", x, lang.Flag(draw.random() < 0.5))])
        if chance < 0.2:
            make = draw.choice([self.day_literal, self.instant_literal]) if kind in MOMENTS else self.literal
            return lang.In(x, tuple(make(x) for _ in range(draw.randint(1, 3))), draw.random() < 0.3)
        if kind == "text" and chance < 0.6:
            return self.about_text(x)
        if kind in MOMENTS and chance < 0.4:
            durations = DATE_DURATIONS if kind == "date" else DURATIONS
            return lang.Within(x, draw.choice(durations), draw.random() < 0.35, draw.random() < 0.3)
        if chance < 0.5 and kind in ("exact", "float"):
            ends = self.ordered([self.literal(x), self.literal(x)])
            if ends is not None:
                return lang.Between(x, *ends, negated=draw.random() < 0.3)
        if chance < 0.5 and self.table is None:
            others = [one for one in self.subjects if one.type.kind in (MOMENTS if kind in MOMENTS else (kind,))]
            if others:
                return lang.Compare(draw.choice(COMPARISONS), x, draw.choice(others))
        return self.compare(x, self.literal(x), COMPARISONS)

    def about_text(self, x: lang.Value) -> lang.Condition:
        draw, near = self.draw, self.near(x) or "UK"
        start = draw.randrange(len(near))
        piece = draw.choice([str.lower, str.upper, str])(near[: start + 1] if draw.random() < 0.6 else near[start : start + 3])
        if draw.random() < 0.25:
            pattern = "".join(draw.choice([c, c, c, "%", "_"]) for c in near[:6])
            return lang.Like(x, pattern, draw.random() < 0.5, draw.random() < 0.3)
        return lang.Has(draw.choice(["contains", "starts", "ends"]), x, lang.Text(piece or "x"), draw.random() < 0.25)

    def atom(self) -> lang.Condition:
        chance = self.draw.random()
        if chance < 0.35 and (made := self.behaviour()) is not None:
            return made
        if chance < 0.4:
            return lang.Sample(self.draw.choice(PERCENTS), "exp-7")
        if chance < 0.45 and self.segments:
            return lang.Member(self.draw.choice(self.segments))
        return self.about(self.draw.choice(self.subjects))

    def formula(self, depth: int) -> lang.Condition:
        draw = self.draw
        if not depth or draw.random() < 0.25:
            return self.atom()
        parts = tuple(self.formula(depth - 1) for _ in range(draw.randint(2, 3)))
        match draw.randrange(8):
            case 0 | 1 | 2:
                return lang.All(parts)
            case 3 | 4:
                return lang.Any_(parts)
            case 5 | 6:
                return lang.Not(parts[0])
        return lang.AtLeast(draw.randint(1, len(parts)), parts)


def draw_related(draw: random.Random, data: Dataset, number: int) -> dict[str, lang.Condition]:
    """So many rules by name; each may refer to those before it."""
    made: dict[str, lang.Condition] = {}
    drawn = Related(draw, data, [])
    for index in range(number):
        drawn.segments = list(made)[-3:]
        made[f"s{index}"] = drawn.formula(draw.choice([0, 0, 1, 1, 2]))
    return made
