"""Tags, which are the service's static segments: found by their exact name or made, read, and taken off people."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence

from segmentry.engine.connectors.destination import Answer, DestinationStopped, Verdict
from segmentry.engine.connectors.mailchimp_audience import FEW
from segmentry.engine.connectors.mailchimp_bodies import MOST
from segmentry.engine.connectors.mailchimp_calls import Calls, listed, names
from segmentry.engine.connectors.mailchimp_line import RefusedError, Waiting
from segmentry.engine.connectors.mailchimp_people import hash_of
from segmentry.engine.connectors.mailchimp_reasons import Problem

AGE = 300.0
"""Seconds that a reading of who is in a tag is good for."""

IGNORED = Answer(Verdict.REJECTED, "the service passed it over: it is not in the audience", again=True)


class Tags:
    """The tags of an audience, as far as they were asked for. Used from several threads."""

    def __init__(self, waiting: Waiting) -> None:
        self._waiting = waiting
        self._ids: dict[str, int] = {}
        self._read: dict[int, tuple[float, dict[bytes, str]]] = {}
        self._lock = threading.Lock()

    def find(self, calls: Calls, name: str) -> int | None:
        """The tag's id; None where there is none of exactly this name."""
        known = self._ids.get(name)
        if known is None:
            # a search finds names that begin so, and not always all of them
            known = names(calls.tags_like(name)).get(name)
            known = names(calls.tags()).get(name) if known is None else known
            if known is not None:
                self._ids[name] = known
        return known

    def need(self, calls: Calls, name: str) -> int:
        """The tag's id; it is made if there is none. Where another sender makes it too, the first one is everybody's."""
        with self._lock:
            known = self.find(calls, name)
            if known is None:
                try:
                    calls.add_tag(name)
                except RefusedError as refused:
                    problem = refused.problem
                else:
                    problem = Problem(404)
                known = self.find(calls, name)
                if known is None:
                    raise DestinationStopped(f"the tag `{name}` can't be made: {problem.summary}")
            return known

    # ------------------------------------------------------------ who is in

    def having(self, calls: Calls, tag: int, hashes: Collection[str]) -> dict[str, str]:
        """Those of the people who are in the tag, with their status."""
        found: dict[str, str] = {}
        if len(hashes) > FEW:
            with self._lock:
                found = self._listed(calls, tag, hashes)
        # a list has not everybody: the archived and those who have yet to confirm are in it nowhere
        for hash in hashes:
            if hash not in found:
                someone = calls.someone(hash)
                if someone is not None and tag in (someone.tags if someone.all_tags else calls.tags_of(hash)):
                    found[hash] = someone.status
        return found

    def _listed(self, calls: Calls, tag: int, hashes: Collection[str]) -> dict[str, str]:
        """Those who are in the tag as it was read whole: lately, if that has most of them."""
        now = self._waiting.monotonic()
        at, people = self._read.get(tag, (-AGE, {}))
        if now - at >= AGE or sum(bytes.fromhex(hash) not in people for hash in hashes) > FEW:
            people = {bytes.fromhex(one.hash): one.status for page in calls.tagged(tag) for one in page}
            self._read[tag] = (now, people)
        return {hash: people[bytes.fromhex(hash)] for hash in hashes if bytes.fromhex(hash) in people}

    # ------------------------------------------------------------ on and off

    def enroll(self, calls: Calls, name: str, people: Mapping[str, str]) -> dict[str, Answer]:
        """Puts people (addresses by hash) in a tag, so that what waits for it starts. Who is in already has been started before."""
        tag = self.need(calls, name)
        found: dict[str, Answer] = {}
        hashes = list(people)
        parts = [hashes[start : start + MOST] for start in range(0, len(hashes), MOST)]
        while parts:
            part = parts.pop()
            try:
                said = calls.tag_people(tag, add=[people[hash] for hash in part])
            except RefusedError as refused:
                if refused.problem.status == 404:
                    raise self._gone(name) from None
                if len(part) == 1:
                    found[part[0]] = refused.problem.answer()
                else:  # it may be about one of them
                    parts += [part[len(part) // 2 :], part[: len(part) // 2]]
                continue
            found.update(self._enrolled(calls, tag, part, said))
        return found

    def _enrolled(self, calls: Calls, tag: int, part: Sequence[str], said: Mapping[str, object]) -> dict[str, Answer]:
        """What an answer says of each, compared with what was asked: somebody who is passed over is passed over silently."""
        added, refusals = _named(listed(said, "members_added")), _refusals(listed(said, "errors"))
        silent = [hash for hash in part if hash not in added and hash not in refusals]
        # those of whom nothing is said were in it before, or are not in the audience
        inside = self.having(calls, tag, silent) if silent else {}
        return {hash: Answer(Verdict.SENT) if hash in added or hash in inside else refusals.get(hash, IGNORED) for hash in part}

    def take_off(self, calls: Calls, tag: int, name: str, people: Mapping[str, str | None]) -> dict[str, Answer]:
        """Takes people (addresses by hash, where one is known) off a tag. Who is off it by somebody else's doing is off it."""
        found: dict[str, Answer] = {}
        by_address = [hash for hash, address in people.items() if address is not None and hash_of(address) == hash]
        for start in range(0, len(by_address), MOST):
            part = by_address[start : start + MOST]
            try:
                said = calls.tag_people(tag, remove=[str(people[hash]) for hash in part])
            except RefusedError as refused:
                if refused.problem.status == 404:
                    raise self._gone(name) from None
                continue  # one by one, then
            found.update((hash, Answer(Verdict.SENT)) for hash in _named(listed(said, "members_removed")) & set(part))
        for hash in people:
            if hash not in found:
                try:
                    calls.take_off(tag, hash)
                    found[hash] = Answer(Verdict.SENT)
                except RefusedError as refused:
                    found[hash] = refused.problem.answer()
        with self._lock:
            known = self._read.get(tag, (0.0, {}))[1]
            for hash in found:
                known.pop(bytes.fromhex(hash), None)
        return found

    def _gone(self, name: str) -> DestinationStopped:
        """What to raise for a tag that was there, and is not any more."""
        self._ids.pop(name, None)
        return DestinationStopped(f"the tag `{name}` is not there any more; the next attempt makes it anew")


def _named(members: Sequence[object]) -> set[str]:
    """The hashes of the members in an answer."""
    found = set()
    for one in members:
        address = one.get("email_address") if isinstance(one, Mapping) else None
        if isinstance(address, str):
            found.add(hash_of(address))
    return found


def _refusals(errors: Sequence[object]) -> dict[str, Answer]:
    """What an answer says is wrong with single addresses."""
    found: dict[str, Answer] = {}
    for one in errors:
        if isinstance(one, Mapping) and isinstance(one.get("email_addresses"), list):
            problem = Problem(400, detail=str(one.get("error", "")))
            found.update((hash_of(str(address)), problem.answer()) for address in one["email_addresses"])
    return found
