"""Equal nodes found: every node gets a number, and equal nodes the same one.

Nodes are hashable, but a hash walks the whole tree below; numbering each once from the leaves up costs no more than the
tree has nodes, and needs no recursion.
"""

from __future__ import annotations

from dataclasses import fields

from segmentry.rules.nodes import Node, children


class Canon:
    """Numbers for nodes. `uses[n]` counts the different nodes (and times) that have node `n` directly below them."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}
        self._parts: dict[type[Node], tuple[str, ...]] = {}
        self._of_object: dict[int, tuple[Node, int]] = {}
        self.nodes: list[Node] = []
        self.uses: list[int] = []

    def number(self, node: Node) -> int:
        """The node's number; new for a node that equals none before."""
        known = self._of_object.get(id(node))
        if known is not None:
            return known[1]
        pending = [(node, False)]
        while pending:
            current, entered = pending.pop()
            if id(current) in self._of_object:
                continue
            if entered:
                self._of_object[id(current)] = (current, self._place(current))
            else:
                pending.append((current, True))
                pending.extend((child, False) for child in children(current))
        return self._of_object[id(node)][1]

    def _place(self, node: Node) -> int:
        kind = type(node)
        if kind not in self._parts:
            self._parts[kind] = tuple(spec.name for spec in fields(kind) if spec.compare)
        key = (kind, *(self._key(getattr(node, name)) for name in self._parts[kind]))
        found = self._numbers.get(key)
        if found is not None:
            return found
        number = self._numbers[key] = len(self.nodes)
        self.nodes.append(node)
        self.uses.append(0)
        for child in children(node):
            self.uses[self._of_object[id(child)][1]] += 1
        return number

    def _key(self, part: object) -> object:
        if isinstance(part, Node):
            return ("node", self._of_object[id(part)][1])
        if isinstance(part, tuple):
            return tuple(self._key(item) for item in part)
        return (type(part), part)
