"""What an engine can do, as a table: the name of an operation to the function that writes it in that engine's SQL.

The walkers (`values.py`, `numbers.py`, `calendar.py`) only ever ask for operations by name, so an engine is one such
table. An operation that an engine can't do with the same meaning is simply not in its table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segmentry.engine.lowering import sql

if TYPE_CHECKING:
    from segmentry.engine.lowering.numbers import Numbers

Build = Callable[..., sql.Expr]


class NotExpressible(Exception):  # noqa: N818 -- says what is so, as the other errors of ours
    """This engine has no way to say something with the same meaning; the text is what, `code` why."""

    def __init__(self, what: str, code: str = "X101") -> None:
        super().__init__(what)
        self.code = code


@dataclass(frozen=True, slots=True)
class Operations:
    """One engine's words. `dialect` is sqlglot's name for it; `numbers` its arithmetic, where that differs from DuckDB's."""

    dialect: str
    table: Mapping[str, Build]
    numbers: type[Numbers] | None = None

    def __call__(self, operation: str, *args: object) -> sql.Expr:
        build = self.table.get(operation)
        if build is None:
            raise NotExpressible(operation)
        return build(*args)

    def has(self, operation: str) -> bool:
        return operation in self.table
