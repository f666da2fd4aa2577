"""Trees with something else in place of some of their nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from segmentry.rules.nodes import Node


def rebuilt(node: Node, instead: Callable[[Node], Node | None]) -> Node:
    """The tree with another node wherever `instead` gives one, whose parts are not asked about.

    Chains are flat, so this is as deep as brackets.
    """
    other = instead(node)
    if other is not None:
        return other
    changed: dict[str, Any] = {}
    for spec in fields(node):
        value = getattr(node, spec.name)
        if isinstance(value, Node):
            changed[spec.name] = rebuilt(value, instead)
        elif isinstance(value, tuple) and any(isinstance(item, Node) for item in value):
            changed[spec.name] = tuple(rebuilt(item, instead) if isinstance(item, Node) else item for item in value)
    return replace(node, **changed) if changed else node
