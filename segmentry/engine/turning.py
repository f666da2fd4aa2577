"""The smallest change that would turn an answer over now: which conditions, as few as possible, would have to come out otherwise.

Each different condition of a rule is one thing that may turn, however often it stands there, also under `not`. Where none stands twice, the
fewest follow from the parts' fewest. Where one does, it is settled both ways and the better kept. What no change of data can
turn (`true`, a sample, a bare clock), and what one value can't be at once, is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from segmentry.engine.foretelling import Tree, is_leaf
from segmentry.engine.hindsight import Verdict
from segmentry.engine.outline import Outline, Shape
from segmentry.rules.nodes import Condition, Not

MOST_TRIALS = 2_000
"""Settlings of conditions that stand twice after which the search ends with the best that was found."""

IMPOSSIBLE = float("inf")

Possible = Callable[[Mapping[Condition, bool]], frozenset[Condition] | None]
"""Of answers to all conditions: None if a contact may have them, else conditions that contradict each other."""


@dataclass(frozen=True, slots=True)
class Turning:
    """The conditions to turn; `fewest` is whether no smaller set would do. `leaves` is None where nothing would do."""

    leaves: frozenset[Condition] | None
    fewest: bool = True


def bare(condition: Condition) -> tuple[Condition, bool]:
    """A condition without the `not` before it, and whether it holds where that does."""
    holds = True
    while isinstance(condition, Not):
        condition, holds = condition.item, not holds
    return condition, holds


def smallest_turning(tree: Tree, now: Mapping[Condition, bool], fixed: frozenset[Condition], possible: Possible) -> Turning:
    """The fewest leaves whose turning turns the whole over. Leaves go without their `not` (`bare`), `now` has what each is.

    `fixed` are leaves that no change of data turns.
    """
    search = _Search(tree, now, possible)
    search.run(frozenset(), fixed)
    return Turning(search.best, search.trials <= MOST_TRIALS)


Plan = tuple[float, frozenset[Condition]]
"""What making a line true or false costs, and which leaves are turned for it."""


@dataclass
class _Search:
    tree: Tree
    now: Mapping[Condition, bool]
    possible: Possible
    best: frozenset[Condition] | None = None
    trials: int = 0
    _stands: Counter[Condition] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._leaves = [line for line in self.tree.lines if is_leaf(line)]
        self._stands.update(_standing(self.tree))
        self._target = not self._whole(frozenset())

    def _whole(self, turned: frozenset[Condition]) -> bool:
        """What the whole is when these leaves are turned."""
        answers: dict[Condition, list[Verdict]] = {}
        for line in self._leaves:
            leaf, plain = bare(line.condition)
            answers[line.condition] = [(self.now[leaf] is not (leaf in turned)) is plain]
        return bool(self.tree.values(answers, 1)[id(self.tree.outline)][0])

    def run(self, turned: frozenset[Condition], kept: frozenset[Condition]) -> None:
        """Looks for a smaller set than the best, with the turned leaves and none of the kept ones."""
        self.trials += 1
        if self.trials > MOST_TRIALS:
            return
        cost, proposed = self._plan(turned, kept)
        if cost == IMPOSSIBLE or self._no_better(len(turned) + cost):
            return
        proposed |= turned
        clashing = self._clashing(proposed)
        if clashing is None:
            self.best = proposed
            if self._no_better(len(turned) + cost):
                return
        for leaf in self.now:
            open_question = self._stands[leaf] > 1 if clashing is None else leaf in clashing
            if open_question and leaf not in turned and leaf not in kept:
                ways = (turned | {leaf}, kept), (turned, kept | {leaf})
                for settled in ways if leaf in proposed else reversed(ways):
                    self.run(*settled)
                return

    def _no_better(self, cost: float) -> bool:
        return self.best is not None and cost > len(self.best) - 1 + 1e-9

    def _clashing(self, proposed: frozenset[Condition]) -> frozenset[Condition] | None:
        """None if turning these does it, and a contact may be so; else the leaves of which one has to be settled."""
        if self._whole(proposed) is not self._target:
            return frozenset(leaf for leaf, count in self._stands.items() if count > 1)
        return self.possible({leaf: holds is not (leaf in proposed) for leaf, holds in self.now.items()})

    def _plan(self, turned: frozenset[Condition], kept: frozenset[Condition]) -> Plan:
        """The cheapest turning, every place of a leaf being taken by itself and costing its share: never more than the truth."""
        plans: dict[tuple[int, bool], Plan] = {}
        for line in self.tree.parts_first():
            for wanted in (True, False):
                plans[id(line), wanted] = self._of_line(line, wanted, plans, turned, kept)
        return plans[id(self.tree.outline), self._target]

    def _of_line(
        self,
        line: Outline,
        wanted: bool,
        plans: Mapping[tuple[int, bool], Plan],
        turned: frozenset[Condition],
        kept: frozenset[Condition],
    ) -> Plan:
        if is_leaf(line):
            leaf, plain = bare(line.condition)
            if (self.now[leaf] is not (leaf in turned)) is (wanted is plain):
                return 0, frozenset()
            return (IMPOSSIBLE, frozenset()) if leaf in kept or leaf in turned else (1 / self._stands[leaf], frozenset({leaf}))
        parts = self.tree.parts(line)
        if line.shape is Shape.NOT:
            return plans[id(parts[0]), not wanted]
        need, count = self.tree.needed(line)
        chosen = sorted((plans[id(part), wanted] for part in parts), key=lambda plan: plan[0])[: need if wanted else count - need + 1]
        return sum(cost for cost, _ in chosen), frozenset().union(*(leaves for _, leaves in chosen))


def _standing(tree: Tree) -> Counter[Condition]:
    """How often each leaf stands in the rule (under `not` too), with the segments that it names as often as they are named."""
    places: dict[int, Counter[Condition]] = {}
    for line in tree.parts_first():
        places[id(line)] = (
            Counter([bare(line.condition)[0]]) if is_leaf(line) else sum((places[id(p)] for p in tree.parts(line)), Counter())
        )
    return places[id(tree.outline)]
