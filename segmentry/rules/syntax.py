"""What was written: the tree that text and builder form both become, before any name is looked up.

The printers turn it back into either form; the checker turns it into typed nodes. Two trees are equal when they say
the same, wherever they stand: places don't compare.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from segmentry.rules.diagnostics import Place

NOWHERE = Place()


@dataclass(frozen=True, slots=True, kw_only=True)
class Syntax:
    """Anything that was written, and where."""

    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Name(Syntax):
    """A field, an event, an `event.property`, `contact.field`: one or more parts, and which of them were quoted."""

    parts: tuple[str, ...]
    quoted: tuple[bool, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Text(Syntax):
    """A text literal, unescaped."""

    value: str


@dataclass(frozen=True, slots=True)
class Number(Syntax):
    """A number as it was written, without underscores and without a sign."""

    text: str


@dataclass(frozen=True, slots=True)
class Boolean(Syntax):
    value: bool


@dataclass(frozen=True, slots=True)
class Null(Syntax):
    """`null`, which is an error everywhere but parses, so that the checker can say what to write."""


@dataclass(frozen=True, slots=True)
class Named(Syntax):
    """A keyword argument: `last => '30 days'`. `name` is lower case."""

    name: str
    value: Syntax


@dataclass(frozen=True, slots=True)
class Call(Syntax):
    """A function call. `name` is lower case; `args` and `named` are in the order written."""

    name: str
    args: tuple[Syntax, ...] = ()
    named: tuple[Named, ...] = ()


@dataclass(frozen=True, slots=True)
class Infix(Syntax):
    """`left op right`. `op` is one of the operator table's canonical names (`rules/operators.py`).

    Comparison `= != < <= > >=`; `contains`, `starts with`, `ends with`, `matches`, `like`, `ilike`; `in the last`,
    `in the next`, `during`; arithmetic `+ - * / %`.
    """

    op: str
    left: Syntax
    right: Syntax


@dataclass(frozen=True, slots=True)
class Negative(Syntax):
    """Unary minus."""

    value: Syntax


@dataclass(frozen=True, slots=True)
class IsSet(Syntax):
    """`x is set`, `x is not null`."""

    value: Syntax


@dataclass(frozen=True, slots=True)
class Between(Syntax):
    value: Syntax
    low: Syntax
    high: Syntax


@dataclass(frozen=True, slots=True)
class In(Syntax):
    value: Syntax
    items: tuple[Syntax, ...]


@dataclass(frozen=True, slots=True)
class And(Syntax):
    """Two or more conditions, flat: no direct child is an And."""

    items: tuple[Syntax, ...]


@dataclass(frozen=True, slots=True)
class Or(Syntax):
    """Two or more conditions, flat: no direct child is an Or."""

    items: tuple[Syntax, ...]


@dataclass(frozen=True, slots=True)
class Not(Syntax):
    item: Syntax
