"""Drives a world with Klaviyo and Mailchimp through a random history, as `driver` does one with receivers that only listen.

Runs, decisions and the ledger are held against the same model as there. What is sent goes over HTTP to the services, whose people
do as they like meanwhile; what became of that is held against `services_model`.
"""

from __future__ import annotations

import random
import signal
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from segmentry.engine.connectors import klaviyo_importing
from segmentry.engine.delivering import deliver
from segmentry.engine.moment import Moment
from segmentry.engine.snapshot import ContactSource
from segmentry.engine.sync_confirming import confirm
from segmentry.engine.sync_reading_back import Reading, reconcile
from segmentry.engine.sync_returning import readd
from segmentry.errors import DecisionError, NotFound
from tests.histories.checking import check_state
from tests.histories.dividing import groups
from tests.histories.driver import WORKSPACE, Driver
from tests.histories.files import Folder, utc
from tests.histories.files import Seen as SeenState
from tests.histories.model import Model
from tests.histories.receivers import Clock, Killed, Receivers
from tests.histories.records import Accepted, Limits, Place
from tests.histories.services import (
    FEW,
    SEQUENCES,
    SERVICES,
    Services,
    acknowledged,
    killed_apart,
    killed_at,
    moment,
    sleeping_by,
)
from tests.histories.services_hands import Hands
from tests.histories.services_model import CONSENT, Planned, Seen, SyncKey, SyncModel, seen
from tests.histories.world import Key, Policy, Segment, Split, Sync


@dataclass
class ServicesDriver(Hands):
    """One history with both services."""

    sequences: tuple[tuple[str, str, str], ...] = SEQUENCES
    pausable: tuple[str, ...] = SERVICES
    synced: tuple[str, ...] = SERVICES
    OFTEN = Driver.OFTEN[:-2]  # all but edits of splits, which are drawn where segments are divided
    gone: dict[str, Segment] = field(default_factory=dict)
    _noted: Accepted | None = None
    _at_backup: tuple[Seen, Planned] | None = None
    _before: bool | None = None
    _recovered: bool = False
    _asked: set[str] = field(default_factory=set)
    """Ids of enrollments that Klaviyo was told, or may have been asked to take."""

    @classmethod
    def living(cls, root: Path, seed: int, stack: ExitStack) -> ServicesDriver:
        """A history that begins; the services listen until the stack is closed."""
        draws = random.Random(seed)
        integers = draws.random() < 0.6
        keys: list[Key] = list(range(1, 19)) if integers else [f"k{number:02}" for number in range(1, 19)]
        tight = Limits(draws.choice([40, 100]), (draws.choice([40, 60]), draws.choice([3, 5])), (30, 1), draws.choice([4, 8]))
        limits = draws.choice([Limits(), Limits(), tight])
        place = Place(WORKSPACE, "default", "integer" if integers else "text")
        services = Services(draws.choice(["subscribed", "subscribed", "transactional", "skip"]), CONSENT, Clock(cls.now))
        stack.enter_context(services.open())
        stack.enter_context(sleeping_by(services.time))
        folder = Folder(root, place, limits, services.destinations)
        divides = seed % 3 == 0
        return cls(
            folder,
            draws,
            keys,
            Model(place, limits),
            Receivers(WORKSPACE),
            divides=divides,
            telling=services.telling,
            services=services,
            known=SyncModel(services),
        )

    # ------------------------------------------------------------ the world

    def address(self, key: Key) -> str | None:
        """Mostly an address of the contact's own, which it may have had before; sometimes one that others have."""
        own = [f"{name}{key}@example.com" for name in "nnnxy"] + [f" N{key}@Example.com"]
        return self.draws.choice([*own, *own, None, f"shared{self.draws.randrange(3)}@example.com"])

    def people_change_places(self) -> None:
        """Whoever somebody acted on by hand changes places with others, in other segments: by that they go, and would come back."""
        rows, acted = dict(self.world.rows), self.known.acted_on()
        ours = sorted((key for key, row in rows.items() if row.address in acted), key=str)
        for key in self.draws.sample(ours, min(len(ours), 3)):
            others = sorted((other for other in rows if self.inside(other) != self.inside(key)), key=str)
            if others:
                other = self.draws.choice(others)
                one, two = rows[key], rows[other]
                rows[key], rows[other] = replace(two, email=one.email), replace(one, email=two.email)
        self.set(rows=rows)

    def inside(self, key: Key) -> set[str]:
        """The segments that a contact was last in."""
        return set() if self.model.accepted is None else {name for name, keys in self.model.accepted.members.items() if key in keys}

    def policies(self, split: Split | None) -> tuple[Policy, ...]:
        """A tag that is there already starts nothing again, and the files may not say otherwise."""
        return tuple(replace(one, again="never") if one.sequence == "offer" else one for one in super().policies(split))

    def a_segment_is_edited(self, name: str | None = None) -> None:
        name = name or self.draws.choice("abcd")
        back = self.gone.pop(name, None) if name not in self.world.segments else None
        super().a_segment_is_edited(name)
        made = self.world.segments[name]
        if back is not None:  # under the name that it had
            made = replace(made, name=back.name, formerly=back.formerly)
            if made.split is not None and len(made.formerly) > 1:  # by whichever of them it is divided has to be said
                made = replace(made, split=made.divided)
        if not made.sync:
            made = replace(made, sync=self.a_sync_of(name))
        self.set(segments={**self.world.segments, name: made})

    def a_segment_goes(self) -> None:
        before = dict(self.world.segments)
        super().a_segment_goes()
        self.gone |= {name: one for name, one in before.items() if name not in self.world.segments}

    def a_sync_of(self, name: str) -> tuple[Sync, ...]:
        draw, split = self.draws, self.world.segments[name].split
        return tuple(
            Sync(
                service,
                self.services.target(service, name, draw.choice([1, 1, 1, 1, 2])),
                draw.choice(["mirror", "mirror", "add"]),
                draw.choice(["send", "send", "send", "skip", "ask"]),
                draw.random() < 0.5,
                None if split is None else groups(draw, split),
            )
            for service in self.synced
            if draw.random() < 0.8
        )

    def a_sync_is_edited(self) -> None:
        name = self.draws.choice(sorted(self.world.segments))
        self.set(segments={**self.world.segments, name: replace(self.world.segments[name], sync=self.a_sync_of(name))})

    # ------------------------------------------------------------ runs and deliveries

    def an_hour_passes(self) -> None:
        """Or some; and a run."""
        self.now += timedelta(hours=self.draws.choice([1, 1, 3, 12, 25]))
        self.run()

    def a_delivery(self) -> None:
        self.services.be_kind()
        self.tell()

    def a_cruel_delivery(self) -> None:
        self.services.be_cruel(self.draws)
        self.tell()
        self.services.be_kind()
        self.now += timedelta(minutes=self.draws.choice([0, 10, 60 * 5]))

    def a_killed_delivery(self) -> None:
        number, applied = self.draws.choice([1, 3, 5, 8, 12, 20, 40]), self.draws.random() < 0.6
        self.done.append(f"killed at {number}{' applied' if applied else ''}")
        self.tell(kill=(number, applied))
        self.now += timedelta(minutes=self.draws.choice([0, 10, 60 * 5]))

    def a_delivery_is_ended(self) -> None:
        """By SIGKILL, in a process of its own, while the service answers."""
        number = self.draws.choice([1, 2, 4, 7, 11, 16])
        self.folder.write(self.world)
        moment(self.services.time, self.now)
        was = seen(self.services)
        few = klaviyo_importing.FEW == FEW
        ended = killed_apart(self.services, self.folder.root, self.folder.state_folder, utc(self.now), number, few=few)
        self.services.do_the_forgotten(self.folder)
        now = seen(self.services)
        assert ended in (0, -signal.SIGKILL)
        self.done.append(f"at request {number}: {ended}")
        self.check_told(was, now)
        self.now += timedelta(minutes=self.draws.choice([0, 10, 60 * 5]))

    def tell(self, *, kill: tuple[int, bool] | None = None) -> None:
        """A delivery, and what came of it."""
        self.folder.write(self.world)
        moment(self.services.time, self.now)
        was = seen(self.services)
        with self.folder.state() as state, nullcontext() if kill is None else killed_at(kill[0], applied=kill[1]):
            try:
                deliver(
                    state, self.folder.loaded(), clock=self.services.time, sleep=self.services.time.sleep, draw=lambda: 0.5, **self.telling
                )
            except Killed:
                assert kill is not None
        self.services.do_the_forgotten(self.folder)
        now = seen(self.services)
        self.now = self.services.time.now
        self.check_told(was, now)

    def check_told(self, was: Seen, now: Seen) -> None:
        """What a delivery did."""
        closed = [name for name in SERVICES if self.is_closed(name)]
        assert all(now.counts[name] == was.counts[name] for name in closed), f"{closed} were asked while nothing may go"
        self._note_acknowledged()
        self.known.check_delivery(was, now, self.model, self.world)
        state = self.folder.seen()
        self._check_enrolled(was, now, state)
        self._note_outcomes(state)

    def is_closed(self, name: str) -> bool:
        """Whether nothing may go to a destination at all."""
        held = any(hold.kind == "suppress" for hold in self.model.open_holds())
        return not self.world.deliver or self.model.delivered is False or held or bool(self.model.pauses & {"*", name})

    def _check_enrolled(self, was: Seen, now: Seen, state: SeenState) -> None:
        """New events and mails are of enrollments, of people who may be mailed, one each."""
        account, world = self.services.klaviyo, self.services.mailchimp.world
        assert self.model.accepted is not None
        told = self.services.enrollments_since(was.counts)
        asked, self._asked = self._asked, self._asked | told.keys()
        for event in account.events:
            if event.id not in was.events:
                assert event.unique_id in self.model.rows, "an event is of no enrollment"
                row = self.model.rows[event.unique_id]
                profile = account.world.profiles[event.profile]
                assert profile.email is not None
                assert profile.email.lower() == row.address or row.address in self.known.addresses.get(row.contact, ())
                before = was.consents.get(event.profile)
                assert before is None or before.can_receive, f"{profile.email} unsubscribed, and was told"
                assert row.person not in self.model.accepted.suppressed
                address = told[row.id]
                if address not in self.known.present.get(row.contact, {address}):
                    assert row.id in asked, f"{address} was told, which {row.contact} had no more when it was first asked"
                    self.known.told_late.add(row.id)
        for mail in world.sent[was.mails : now.mails]:
            assert mail.cause != "opt-in"
            assert mail.cause.startswith("step") or world.journeys[mail.journey].tag == "enroll:offer", "a sync started an automation"
            if mail.cause.startswith("step"):
                self._check_journey(mail.email, state)

    def _check_journey(self, email: str, state: SeenState) -> None:
        """A journey is started once an enrollment; but for those that a person had sent again, or that an older state does not know.

        It goes to the address that the contact has then, which may not be the one that it was enrolled under.
        """
        mine = [row for row in self.model.rows.values() if row.sequence == "gift"]
        rows = [row for row in mine if email == row.address or email in self.known.addresses.get(row.contact, ())]
        unsure = [row for row in rows if row.id in self.receivers.again or row.id in self.receivers.lost]
        times = sum(mail.email == email and mail.cause.startswith("step") for mail in self.services.mailchimp.world.sent)
        if unsure or email in self.known.let_go:
            return
        assert times <= len(rows), f"{email} was mailed {times} times for {len(rows)} enrollments"
        told = {state.rows[row.id].outcome for row in rows}
        assert told & {"sent", "unknown", "sending"}, f"{email} was mailed, and may be mailed again: its enrollments are {told}"

    def _note_outcomes(self, now: SeenState) -> None:
        """What became of enrollments can't be foretold to the letter; what may have, can."""
        self._asked |= {id for id, row in now.deliveries.items() if row.attempts or row.lease is not None}  # perhaps by who was killed
        for id, row in self.model.rows.items():
            outcome = now.rows[id].outcome
            if row.outcome in ("pending", "sending"):
                ends = {"pending", "sending", "sent", "rejected", "expired", "waiting", row.stop}
                ends |= {"unknown"} if row.sequence == "gift" else set()
                assert outcome in ends, f"{row} became {outcome}"
                if outcome == "sent" and row.sequence in ("hello", "post"):
                    assert any(event.unique_id == id for event in self.services.klaviyo.events), f"{row} is sent, and nobody took it"
            else:
                assert outcome == row.outcome, f"{row} became {outcome}"
            row.outcome = outcome
            row.stop = row.stop if outcome in ("sending", "pending") else None

    # ------------------------------------------------------------ words

    def newest(self) -> ContactSource:
        return Moment.at(self.folder.loaded(), utc(self.now)).snapshot.contacts

    def a_sync_is_confirmed(self) -> None:
        said = dict(self.known.said(self.world))
        waiting = [key for key in said if key in self.known.syncs and self.known.syncs[key].answer is None]
        if waiting:
            self.confirm(self.draws.choice(waiting), self.draws.choice(["send", "send", "skip"]))

    def confirm(self, key: SyncKey, answer: str) -> bool:
        self.folder.write(self.world)
        with self.folder.state() as state:
            try:
                found = confirm(self.folder.loaded(), state, self.called(key), answer, utc(self.now), self.newest)
            except DecisionError:
                return False
        assert found.before is None
        self.known.note_word(self.model, self.world, {key})
        self.known.answered(self.model, key, answer)
        return True

    def called(self, key: SyncKey) -> SyncKey:
        """A sync as Segmentry calls it: its segment by the present name, and its target as text."""
        return self.world.segments[key[0]].name, key[1], f"{key[2].partition(': ')[0]}:{self.services.title(key[2])}"

    def syncs_are_reconciled(self) -> None:
        self.folder.write(self.world)
        moment(self.services.time, self.now)
        was = seen(self.services)
        with self.folder.state() as state:
            try:
                reconcile(Reading(self.folder.loaded(), state, utc(self.now), self.newest, **self.telling))
            except (DecisionError, NotFound):
                return
        assert self.services.writes_since(was.counts) == [], "reading back changes nothing"
        self.known.know(self.model, self.world)
        self._note_acknowledged()
        self.now = self.services.time.now

    def somebody_is_let_back(self) -> None:
        """Whoever left may come back to lists and tags; but nobody is subscribed by it."""
        left = {one for each in (*self.known.off.values(), *self.known.left.values()) for one in each}
        keys = [key for key, addresses in self.known.addresses.items() if addresses & left]
        if not keys:
            return
        key = self.draws.choice(sorted(keys, key=str))
        self.folder.write(self.world)
        with self.folder.state() as state:
            try:
                found = readd(self.folder.loaded(), state, [key], utc(self.now), self.newest)
            except (DecisionError, NotFound):
                return
        meant = {(one.segment, one.destination, one.target) for one in found}
        self.known.note_word(self.model, self.world, [one for one, _ in self.known.said(self.world) if self.called(one) in meant])
        self._nobody_knows_of(key)

    def _nobody_knows_of(self, key: Key) -> None:
        """That somebody left was forgotten, or is not to count any more."""
        groups = self.known.groups(self.model)
        mine = set(self.known.addresses.get(key, ()))
        for address in list(mine):
            mine |= groups[address].addresses
        self.known.let_go |= mine

    def somebody_is_forgotten(self) -> None:
        before = self.model.erased.copy()
        super().somebody_is_forgotten()
        self._nothing_is_planned()
        for key in self.model.erased - before:
            self._nobody_knows_of(key)
            for kept in self.known.syncs.values():
                kept.baseline.discard(key)

    # ------------------------------------------------------------ the state

    def a_backup_is_made(self) -> None:
        super().a_backup_is_made()
        self._at_backup = seen(self.services), self.known.planned()

    def a_backup_is_put_back(self) -> None:
        """Whoever came, went or left since then may not be known of any more."""
        if self.backup is None or self._at_backup is None:
            return
        super().a_backup_is_put_back()
        then, planned = self._at_backup
        self._nothing_is_planned()
        self.known.is_planned_as(planned)
        for place, people in seen(self.services).inside.items():
            before = then.inside[place]
            self.known.let_go |= {
                one for one in {*people.values(), *before.values()} if (one in people.values()) != (one in before.values())
            }
        self.known.let_go |= {one for each in (*self.known.off.values(), *self.known.left.values()) for one in each}
        self.known.let_go |= {one for each in self.known.touched.values() for one in each}
        for kept in self.known.syncs.values():
            kept.begun_anew = True
        self._note_acknowledged()

    def _nothing_is_planned(self) -> None:
        """What is accepted is another thing, and no run or word has planned anything by it: the files' edits since do not count yet."""
        self._noted, self._before = self.model.accepted, self.model.delivered

    def _note_acknowledged(self) -> None:
        self.known.acknowledged = acknowledged(self.services, self.folder)
        self.known.perhaps_off = acknowledged(self.services, self.folder, perhaps_off=True)

    def requests(self) -> int:
        return sum(self.services.requests(name) for name in SERVICES)

    def check(self) -> None:
        """The state as the model has it; and what must be so at the services."""
        if self.model.accepted is not self._noted:
            self._noted = self.model.accepted
            switched = self.world.deliver and self._before is False
            self.known.note(self.model, self.world, switched=switched, recovered=self._recovered)
            self._before = self.model.delivered
        self._recovered = self.model.recovered
        self.known.check_always()

    # ------------------------------------------------------------ steps

    SELDOM = (
        *(one for one in Driver.SELDOM if one is not Driver.a_backup_is_put_back),
        a_sync_is_edited, a_sync_is_edited, somebody_is_let_back, somebody_is_let_back, a_sync_is_confirmed, a_sync_is_confirmed,
        syncs_are_reconciled, syncs_are_reconciled,
    )  # fmt: skip
    RUNS = (
        *(an_hour_passes,) * 14, Driver.time_passes_and_a_run, Driver.a_run_that_is_late, Driver.a_run_that_looks_back,
        Driver.a_run_is_killed, Driver.a_long_time_passes,
    )  # fmt: skip
    DECISIONS = (Driver.something_is_approved, Driver.something_is_approved, Driver.something_is_discarded)
    DELIVERIES = (a_delivery, a_delivery, a_delivery, *(a_cruel_delivery,) * 4, a_killed_delivery, a_delivery_is_ended)

    def step(self) -> None:
        draw = self.draws
        happenings = draw.choices(Driver.OFTEN if self.divides else self.OFTEN, k=draw.choice([1, 1, 2, 3]))
        happenings += [ServicesDriver.somebody_acts_by_hand] * draw.choice([0, 1, 1, 2])
        happenings += [ServicesDriver.people_change_places] if draw.random() < 0.6 else []
        happenings += [draw.choice(self.SELDOM)] if draw.random() < 0.3 else []
        happenings += [draw.choice(self.RUNS)] if draw.random() < 0.9 else []
        happenings += [draw.choice(self.DECISIONS)] if self.model.open_holds() and draw.random() < 0.7 else []
        happenings += [draw.choice(self.DELIVERIES)] if draw.random() < 0.85 else []
        names = [one.__name__ for one in happenings]
        self.done = []
        for name in names:
            self.done.append(name)
            getattr(self, name)()  # its own, or the driver's
            self.check()
        check_state(self.folder, self.model)

    def end(self) -> None:
        """Nothing goes wrong any more, for so long that whatever waits has gone."""
        self.done = ["the end"]
        self.services.be_kind()
        self.pauses_end()
        self.set(deliver=True, sequences={name: replace(one, paused=False) for name, one in self.world.sequences.items()})
        self.now += timedelta(hours=1)
        self.a_calm_run()
        for _ in range(3):  # who is gone from the snapshot is taken off a day later
            self.tell()
            self.now += timedelta(hours=13)
        self.a_calm_run()
        self.tell()
        check_state(self.folder, self.model)
        self.known.check_rest(self.model, self.world)
        self.done = ["a run more"]
        counts = seen(self.services).counts
        self.now += timedelta(seconds=1)  # so short a time that nobody comes or goes by it
        self.a_calm_run()
        self.tell()
        writes = self.services.writes_since(counts)
        assert writes == [], f"a repeated run is told: {writes}"
        self.known.check_always()

    def a_calm_run(self) -> None:
        """A run, with everything decided that it asks for."""
        self.run()
        self.check()
        self.a_held_run_is_approved()
        self.check()
        while self.model.open_holds():
            self.something_is_discarded()
        for key in [key for key, _ in self.known.said(self.world) if key in self.known.syncs and self.known.syncs[key].answer is None]:
            self.confirm(key, "send")
