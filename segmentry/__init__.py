"""Contact segments over Parquet: rules in, members and changes out.

    import segmentry as sg

    ws = sg.Workspace.open("shop")
    ws.preview("location = 'UK' and count(order_placed, last => '90 days') >= 2")
    sg.evaluate({"vip": "lifetime_value > 500"}, contacts=frame, key="id")

Everything raises `SegmentryError` or a subclass; `segmentry.errors` shows the tree. Names are imported when first used,
so `import segmentry` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segmentry.engine.deciding import Decided
    from segmentry.engine.delivering import Delivered
    from segmentry.engine.evaluate import Events, Membership, evaluate
    from segmentry.engine.explanation import Explanation
    from segmentry.engine.forecast import Forecast
    from segmentry.engine.overlap import Overlap
    from segmentry.engine.preview import Preview
    from segmentry.engine.result import Run
    from segmentry.engine.workspace import Workspace
    from segmentry.errors import (
        ClockError,
        DecisionError,
        DestinationError,
        DialectError,
        LeaseHeld,
        LeaseLost,
        NoState,
        NotFound,
        NotInThisVersion,
        RuleError,
        SegmentryError,
        SourceError,
        StateError,
        WorkspaceError,
    )
    from segmentry.rules.diagnostics import Diagnostic
    from segmentry.rules.rule import parse

__version__ = "0.1.0"

__all__ = [
    "ClockError",
    "Decided",
    "DecisionError",
    "Delivered",
    "DestinationError",
    "Diagnostic",
    "DialectError",
    "Events",
    "Explanation",
    "Forecast",
    "LeaseHeld",
    "LeaseLost",
    "Membership",
    "NoState",
    "NotFound",
    "NotInThisVersion",
    "Overlap",
    "Preview",
    "RuleError",
    "Run",
    "SegmentryError",
    "SourceError",
    "StateError",
    "Workspace",
    "WorkspaceError",
    "evaluate",
    "parse",
]

_HOMES = {
    "Decided": "segmentry.engine.deciding",
    "Delivered": "segmentry.engine.delivering",
    "Diagnostic": "segmentry.rules.diagnostics",
    "Events": "segmentry.engine.evaluate",
    "Explanation": "segmentry.engine.explanation",
    "Forecast": "segmentry.engine.forecast",
    "Membership": "segmentry.engine.evaluate",
    "Overlap": "segmentry.engine.overlap",
    "Preview": "segmentry.engine.preview",
    "Run": "segmentry.engine.result",
    "Workspace": "segmentry.engine.workspace",
    "evaluate": "segmentry.engine.evaluate",
    "parse": "segmentry.rules.rule",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module `segmentry` has no `{name}`")
    value = getattr(import_module(_HOMES.get(name, "segmentry.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
