"""What people do at Klaviyo and Mailchimp by hand, while a history goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.histories.driver import Driver
from tests.histories.services import KLAVIYO, MAILCHIMP, Services
from tests.histories.services_model import SyncModel


@dataclass
class Hands(Driver):
    """A driver whose services have people. `services` are listening while it lasts; `known` is told what somebody does."""

    services: Services = field(kw_only=True)
    known: SyncModel = field(kw_only=True)

    def somebody_acts_by_hand(self) -> None:
        """Somebody who is in a list or tag, or somebody of the account."""
        people = sorted(
            (place, address)
            for place, found in self.services.everywhere().items()
            for address in found.values()
            if not address.endswith(".friends.example")
        )
        if not people:
            return
        (service, target), address = self.draws.choice(people)
        doings = {
            KLAVIYO: ("unsubscribe", "take off", "take off", "delete", "put in", "refuse", "subscribe"),
            MAILCHIMP: ("unsubscribe", "clean", "archive", "forget", "take off", "take off", "put in", "refuse", "subscribe", "change"),
        }
        doing = self.draws.choice(doings[service])
        self.done.append(f"{doing} {address} {service} {target}")
        act = self._at_klaviyo if service == KLAVIYO else self._at_mailchimp
        act(doing, target, address)

    def _at_klaviyo(self, doing: str, target: str, address: str) -> None:
        account, place = self.services.klaviyo, (KLAVIYO, target)
        if doing == "take off":
            account.remove_from_list(self.services.title(target), address)
            self.known.is_off(place, address)
        elif doing == "put in":
            self._put_in(place, lambda email: self._on_list(target, email))
        elif doing == "refuse":
            self._refused(KLAVIYO, account.make_invalid)
        elif doing == "subscribe":
            account.subscribe(address)
            self.known.comes_back(address)
        else:
            self.known.leaves(KLAVIYO, address, seen=doing == "unsubscribe")
            self.known.deleted |= {address} if doing == "delete" else set()
            (account.unsubscribe if doing == "unsubscribe" else account.delete_profile)(address)

    def _at_mailchimp(self, doing: str, target: str, address: str) -> None:
        people, place = self.services.mailchimp.people, (MAILCHIMP, target)
        if doing == "take off":
            people.untag(address, self.services.title(target))
            self.known.is_off(place, address)
        elif doing == "put in":
            self._put_in(place, lambda email: (people.subscribe(email), people.tag(email, self.services.title(target))))
        elif doing == "refuse":
            self._refused(MAILCHIMP, people.doubt)
        elif doing == "subscribe":
            people.subscribe(address)
            self.known.comes_back(address)
        elif doing == "change":
            new = f"moved.{address}"
            if self.services.status(new) is None:
                # nobody can tell whose the new address is: its tags are from now on the person's own affair
                places = [one for one in self.services.targets() if one[0] == MAILCHIMP and address in self.services.inside(*one).values()]
                self.known.leaves(MAILCHIMP, address, seen=False, gone=False)
                people.change_address(address, new)
                for one in places:
                    self.known.by_hand.setdefault(one, set()).add(new)
                self.known.touched[MAILCHIMP].add(new)
        else:
            self.known.leaves(MAILCHIMP, address, seen=True)
            getattr(people, doing)(address)

    def _on_list(self, target: str, email: str) -> None:
        account = self.services.klaviyo
        if account.profile(email) is None:
            self.known.strangers.add(email)
        account.add_by_hand(self.services.title(target), email)

    def _put_in(self, place: tuple[str, str], put: Callable[[str], object]) -> None:
        """Somebody puts a contact of ours in, by hand."""
        emails = sorted({row.address for row in self.world.rows.values() if row.address is not None})
        left = self.known.touched[place[0]]
        email = self.draws.choice(emails) if emails else None
        if email is not None and email not in left:
            put(email)
            self.known.by_hand[place].add(email)
            for gone in (self.known.off, self.known.known_gone, self.known.gone_elsewhere):
                gone.get(place, set()).discard(email)

    def _refused(self, service: str, refuse: Callable[[str], object]) -> None:
        """From now on the service does not take an address for one."""
        email = f"n{self.draws.choice(self.keys)}@example.com"
        refuse(email)
        self.known.touched[service].add(email)
