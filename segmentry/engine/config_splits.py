"""What is wrong with how segments are divided: the shares and names of `split:`, and the groups that `enroll` and `sync` choose."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction

from segmentry.engine.config_models import SegmentConfig
from segmentry.engine.config_names import former_name_problems, known_names
from segmentry.engine.config_problems import as_written
from segmentry.engine.config_values import SEGMENT_NAME, parse_percent
from segmentry.engine.yaml import Document, Steps
from segmentry.rules.diagnostics import Diagnostic

SPLIT: Steps = ("split",)
SALT = "salt"
"""The one key of a split that is no group."""


def split_problems(documents: Mapping[str, Document], configs: Mapping[str, SegmentConfig]) -> list[Diagnostic]:
    """Problems of the splits in segment files that can be understood."""
    problems: list[Diagnostic] = []
    for name, config in configs.items():
        document = documents[name]
        problems += [*_split_problems(document, config), *_chosen_problems(document, config)]
    return problems


def _split_problems(document: Document, config: SegmentConfig) -> Iterator[Diagnostic]:
    hint = "name each group and its share, like `{holdout: 10%, a: 45%, b: 45%}`"
    groups = {} if config.split is None else config.split.groups
    if not groups and "split" in document.value:
        yield Diagnostic("W327", "this split has no group", location=document.key_location(SPLIT), help=hint)
    if config.split is None:
        return
    for group in groups:
        if not re.fullmatch(SEGMENT_NAME, group):
            message = f"`{group}` can't be a group's name: lower-case letters, digits and `_`, a letter first"
            yield Diagnostic("W205", message, location=document.key_location((*SPLIT, group)))
    total = sum((parse_percent(one.share) for one in groups.values()), Fraction())
    if total > 1:
        message = f"the groups' shares come to {float(100 * total):g} %"
        yield Diagnostic("W327", message, location=document.key_location(SPLIT), help="100 % is everybody: make some of them smaller")
    claimed: dict[str, str] = {}
    for group, one in groups.items():
        yield from former_name_problems(document, (*SPLIT, group), group, one.renamed_from, groups, claimed)
    if config.split.salt is None and len(config.renamed_from) > 1:
        hint = f"add `{SALT}:` with the name that it had when it was first split; by another one, everybody's group is drawn anew"
        message = "this segment had several names, and its split says no salt"
        yield Diagnostic("W329", message, location=document.key_location(SPLIT), help=hint)


def _chosen_problems(document: Document, config: SegmentConfig) -> Iterator[Diagnostic]:
    """Groups that `enroll` and `sync` name and the segment has not, or that they name twice."""
    chosen: list[tuple[str, Sequence[Iterable[str] | None]]] = [
        ("enroll", [entry.split for entry in config.enroll]),
        ("sync", [entry.split for entry in config.sync]),
    ]
    known = None if config.split is None else config.split.groups
    for key, entries in chosen:
        for index, named in enumerate(entries):
            seen: set[str] = set()
            for place, group in enumerate(named or ()):
                at = document.location(as_written(document, (key, index, "split", place)))
                if known is None:
                    hint = "add one, like `split: {holdout: 10%, a: 90%}`"
                    yield Diagnostic("W326", f"this segment has no `split`, so no group `{group}`", location=at, help=hint)
                elif group not in known:
                    hint = known_names(group, known)
                    yield Diagnostic("W326", f"this segment's `split` has no group `{group}`", location=at, help=hint)
                elif group in seen:
                    yield Diagnostic("W328", f"the group `{group}` is named twice", location=at, help="keep one")
                seen.add(group)
