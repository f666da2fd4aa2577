"""The parser's tree as the language's own. The set of node types is closed: what is not in it is a diagnostic.

The tree holds only what `arrange` let through. Chains of `and`, `or` and `+` are as deep as they are long in it, so
nothing here recurses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from sqlglot import exp

from segmentry.errors import RuleError
from segmentry.rules.diagnostics import Diagnostic, Place
from segmentry.rules.operators import FUNCTIONS
from segmentry.rules.syntax import And, Between, Call, In, Infix, IsSet, Name, Named, Negative, Not, Or, Syntax

INFIX: dict[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "!=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.ArrayContainsAll: "contains",
    exp.StartsWith: "starts with",
    exp.Glob: "ends with",
    exp.RegexpLike: "matches",
    exp.Like: "like",
    exp.ILike: "ilike",
    exp.ArrayOverlaps: "in the last",
    exp.ArrayContainedBy: "in the next",
    exp.ExtendsRight: "during",
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.Mod: "%",
}
"""The parser's infix nodes, by the operator whose token they were made from."""


def lower(tree: exp.Expr, leaves: Sequence[Syntax], text: str) -> Syntax:
    """The syntax tree of a parsed rule. Raises RuleError for every node that the language doesn't have."""
    order = [tree]
    for node in order:
        order.extend(_operands(node))
    made: dict[int, Syntax] = {}
    problems: list[Diagnostic] = []
    for node in reversed(order):
        operands = [made[id(operand)] for operand in _operands(node)]
        syntax = _one(node, operands, leaves)
        if syntax is None:
            place = _hull(operands) if operands else Place(0, len(text))
            message = f"a rule can't hold `{type(node).__name__.lower()}`"
            problems.append(Diagnostic("R111", message, place=place, rule=text))
            syntax = Name((), place=place)
        made[id(node)] = syntax
    if problems:
        raise RuleError(problems)
    return made[id(tree)]


def _operands(node: exp.Expr) -> list[exp.Expr]:
    """The nodes below one that are operands, in the order written."""
    if isinstance(node, (exp.Column, exp.Identifier)):
        return []
    if isinstance(node, exp.Kwarg):
        return [node.expression]
    if isinstance(node, exp.Anonymous):
        return list(node.expressions)
    if isinstance(node, (exp.And, exp.Or)):
        return _chain(node)
    return list(node.iter_expressions())


def _chain(node: exp.Expr) -> list[exp.Expr]:
    """The operands of `a and b and c`, which the parser nests to the left."""
    kind, items = type(node), []
    while type(node) is kind:
        items.append(node.expression)
        node = node.this
    return [node, *reversed(items)]


def _one(node: exp.Expr, operands: list[Syntax], leaves: Sequence[Syntax]) -> Syntax | None:
    """One node, its operands done; None for a node of another language."""
    if isinstance(node, exp.Column):
        return leaves[int(node.name)] if node.name.isdecimal() else None
    if isinstance(node, exp.Anonymous):
        return _call(leaves[int(node.name)], operands)
    if isinstance(node, exp.Kwarg):
        return _keyword(leaves[int(node.name)], operands[0])
    if isinstance(node, exp.Paren):
        return operands[0]
    if (op := INFIX.get(type(node))) is not None and len(operands) == 2:
        infix = Infix(op, *operands, place=_hull(operands))
        return Not(infix, place=infix.place) if node.args.get("negate") else infix
    make = MAKERS.get(type(node))
    return make(operands, _hull(operands)) if make is not None else None


def _call(call: Syntax, operands: list[Syntax]) -> Syntax:
    assert isinstance(call, Call)
    named = tuple(operand for operand in operands if isinstance(operand, Named))
    if (op := FUNCTIONS.get(call.name)) is not None and len(operands) == 2 and not named:
        return Infix(op, *operands, place=call.place)
    return replace(call, args=tuple(operand for operand in operands if not isinstance(operand, Named)), named=named)


def _keyword(name: Syntax, value: Syntax) -> Syntax:
    assert isinstance(name, Name)
    return Named(name.parts[0], value, place=_hull([name, value]))


def _flat(kind: type[And | Or], operands: list[Syntax], place: Place) -> Syntax:
    items: list[Syntax] = []
    for operand in operands:
        items.extend(operand.items if isinstance(operand, kind) else (operand,))
    return kind(tuple(items), place=place)


MAKERS: dict[type[exp.Expr], Callable[[list[Syntax], Place], Syntax]] = {
    exp.And: lambda operands, place: _flat(And, operands, place),
    exp.Or: lambda operands, place: _flat(Or, operands, place),
    exp.Not: lambda operands, place: Not(operands[0], place=place),
    exp.Neg: lambda operands, place: Negative(operands[0], place=place),
    exp.Adjacent: lambda operands, place: IsSet(operands[0], place=place),
    exp.Between: lambda operands, place: Between(*operands, place=place),
    exp.In: lambda operands, place: In(operands[0], tuple(operands[1:]), place=place),
}
"""The parser's other nodes."""


def _hull(operands: Sequence[Syntax]) -> Place:
    start, end = min(operand.place.start for operand in operands), max(operand.place.end for operand in operands)
    return Place(start, end, operands[0].place.path)
