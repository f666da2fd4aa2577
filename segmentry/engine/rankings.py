"""Planning populations: each different one once, at its level, with what is read from its places."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from segmentry.engine import algebra
from segmentry.engine.lowering import sql
from segmentry.engine.lowering.canon import Canon
from segmentry.engine.populations import Level, Ranking, outermost, standings_table
from segmentry.rules.nodes import Condition, Foremost, Node, Population, Ranked, Value, walk

Query = Callable[[int, Mapping[str, Condition], Mapping[str, Value]], exp.Select]
"""Makes the query of some leaves and values at a level."""


@dataclass(frozen=True)
class Standings:
    """The table of a level that is in order already: of each value read from it (by its number) the column."""

    name: str
    columns: Mapping[int, str]


@dataclass
class _Population:
    node: Population
    level: int
    foremost: dict[str, Foremost] = field(default_factory=dict)
    standings: dict[int, tuple[str, Ranked]] = field(default_factory=dict)


class Rankings:
    """The populations of one plan. `step_of` tells the step that is an `among`; it is made before the leaf that needs it."""

    def __init__(self, canon: Canon, steps: Sequence[algebra.Step], step_of: Callable[[Condition], int]) -> None:
        self._canon, self._steps, self._step_of = canon, steps, step_of
        self._populations: dict[int, _Population] = {}
        self._leaf_levels: dict[str, int] = {}
        self._foremost: set[str] = set()
        self._standings = 0

    # ---------------------------------------------------------------- what is asked

    def leaf(self, column: str, node: Condition) -> None:
        """Tells of a leaf of the algebra."""
        self._leaf_levels[column] = self._level_below(node)
        if isinstance(node, Foremost):
            self._foremost.add(column)
            self._population(node.population).foremost[column] = node

    def is_foremost(self, column: str) -> bool:
        """Whether a leaf is read off a population's places, not computed by a query."""
        return column in self._foremost

    def add(self, root: Node) -> None:
        """Tells of a leaf or value, so that the standings below it are there."""
        for node in walk(root):
            if isinstance(node, Ranked):
                population = self._population(node.population)
                number = self._canon.number(node)
                if number not in population.standings:
                    population.standings[number] = (sql.internal(f"standing{self._standings}"), node)
                    self._standings += 1

    # ---------------------------------------------------------------- levels

    def _level_below(self, node: Node) -> int:
        """The highest level of the populations that a node reads; 0 if it reads none."""
        return max((self._population(found).level for found in outermost(node)), default=0)

    def _population(self, node: Population) -> _Population:
        number = self._canon.number(node)
        if number not in self._populations:
            before = [self._level_below(value) for value in (node.by, node.per) if value is not None]
            if node.among is not None:
                columns = self._columns(self._step_of(node.among))
                before += [self._leaf_levels[column] for column in columns]
            self._populations[number] = _Population(node, 1 + max(before, default=0))
        return self._populations[number]

    def _columns(self, step: int) -> list[str]:
        """The leaves that a step is made of."""
        found = (self._steps[number] for number in sorted(algebra.below(self._steps, [step])))
        return [one.column for one in found if isinstance(one, algebra.Leaf)]

    def below(self, level: int) -> list[Standings]:
        """The tables of lower levels that have values."""
        tables: dict[int, dict[int, str]] = {}
        for population in self._populations.values():
            if population.level < level:
                found = {number: column for number, (column, _) in population.standings.items()}
                tables.setdefault(population.level, {}).update(found)
        return [Standings(standings_table(number), columns) for number, columns in sorted(tables.items()) if columns]

    def levels(self, computed: Mapping[str, Condition], query: Query) -> tuple[Level, ...]:
        """Every level with its query. `computed` are the leaves that queries give."""
        highest = max((population.level for population in self._populations.values()), default=0)
        return tuple(self._level(number, computed, query) for number in range(1, highest + 1))

    def _level(self, level: int, computed: Mapping[str, Condition], query: Query) -> Level:
        rankings: list[Ranking] = []
        leaves: dict[str, Condition] = {}
        values: dict[str, Value] = {}
        for population in self._populations.values():
            if population.level != level:
                continue
            node, by = population.node, f"by{len(rankings)}"
            per = None if node.per is None else f"per{len(rankings)}"
            among = None if node.among is None else self._step_of(node.among)
            values[by] = node.by
            if per is not None and node.per is not None:
                values[per] = node.per
            if among is not None:
                leaves.update({column: computed[column] for column in self._columns(among) if column in computed})
            standings = dict(population.standings.values())
            rankings.append(Ranking(by, per, among, node.falling, population.foremost, standings))
        return Level(level, query(level, leaves, values), tuple(leaves), values, tuple(rankings))
