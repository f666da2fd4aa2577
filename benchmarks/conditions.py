"""What a benchmark's conditions are, and how they read as rules. How a peer says the same is written by hand, in the peer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

ANY = "any_event"
"""Stands for every event of the table, whatever its name."""

RULES = {
    "=": "{field} = '{value}'",
    "!=": "{field} != '{value}'",
    "in": "{field} in ({listed})",
    ">=": "{field} >= {value}",
    ">": "{field} > {value}",
    "last": "{field} in the last '{value} days'",
    "before": "{field} before '{value}'",
    "between": "{field} between '{first}' and '{final}'",
    "contains": "{field} contains '{value}'",
    "ends": "{field} ends with '{value}'",
    "starts": "{field} starts with '{value}'",
    "matches": "{field} ~ '{value}'",
    "set": "{field} is set",
}
"""Every operator of an attribute as a rule."""


@dataclass(frozen=True)
class Attribute:
    """A condition on a contact's own column; the operators are those of `RULES`. A missing value is unequal to every other."""

    field: str
    operator: str
    value: str | int | date | tuple[str, ...] | tuple[date, date] | None = None

    @property
    def rule(self) -> str:
        words = {"field": self.field, "value": self.value}
        if isinstance(self.value, tuple):
            listed = ", ".join(f"'{value}'" for value in self.value)
            words |= {"listed": listed, "first": self.value[0], "final": self.value[-1]}
        return RULES[self.operator].format(**words)


@dataclass(frozen=True)
class Behaviour:
    """A condition on a contact's events of one name in the last `days` days.

    `measure` is one of: `did`, with `number` 1, or 0 for who did not; `count` and `sum` (of `amount`), at least `number`, or with
    `below` less than it; `avg` (of `amount`), above `number`; `last`, of all time, more than `days` ago. `where` is a column and
    the value that it must have.
    """

    event: str
    measure: str
    days: int
    number: int = 1
    below: bool = False
    where: tuple[str, str] | None = None

    @property
    def rule(self) -> str:
        chosen = self.event + (", {} = '{}'".format(*self.where) if self.where else "")
        window = f"last => '{self.days} days'"
        match self.measure:
            case "did":
                return f"{'' if self.number else 'not '}did({chosen}, {window})"
            case "last":
                return f"last({chosen}) before ago('{self.days} days')"
            case "count":
                return f"count({chosen}, {window}) {'<' if self.below else '>='} {self.number}"
        return f"{self.measure}({chosen}.amount, {window}) {'>' if self.measure == 'avg' else '>='} {self.number}"


Condition = Attribute | Behaviour


@dataclass(frozen=True)
class Segment:
    """A segment: its conditions, how they are joined, and the segment it refers to, if it does."""

    name: str
    conditions: tuple[Condition, ...]
    joint: str = "and"
    member: str | None = None

    @property
    def rule(self) -> str:
        own = f" {self.joint} ".join(condition.rule for condition in self.conditions)
        return f"({own}) and member('{self.member}')" if self.member else own
