"""What the demo tells: a receiver of webhooks, a Klaviyo and a Mailchimp account, all stand-ins on this machine, over real HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import md5
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urljoin
from urllib.request import Request, urlopen

LIST, ELSEWHERE = "VIP", "Newsletter"
"""The list that the demo's segment is kept in step with, and another one of that account."""
AUDIENCE, TAG = "ab12cd34ef", "VIP"

WORDS: Mapping[str, Sequence[str]] = {
    "webhook": (),
    "klaviyo": ("--list", LIST, "--list", ELSEWHERE),
    "mailchimp": (),
}
PRINTED: Mapping[str, int] = {"webhook": 2, "klaviyo": 5, "mailchimp": 4}
"""How many lines each says of itself before it listens."""


@contextmanager
def started() -> Iterator[Services]:
    """All three, each in a process of its own, at free ports; they end with the block."""
    with ExitStack() as ending:
        processes = {name: ending.enter_context(_process(name)) for name in WORDS}
        yield Services({name: _said(name, process) for name, process in processes.items()})


@contextmanager
def _process(name: str) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-m", "segmentry", "sandbox", name, "--port", "0", *WORDS[name]]
    with subprocess.Popen(  # noqa: S603 - this very program
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def _said(name: str, process: subprocess.Popen[str]) -> dict[str, str]:
    """What a stand-in says of itself: its url, its key or secret."""
    assert process.stdout is not None
    lines = [process.stdout.readline().split() for _ in range(PRINTED[name])]
    if not all(lines):
        raise SystemExit(f"segmentry sandbox {name} did not start")
    return {line[0]: line[1] for line in lines}


@dataclass(frozen=True)
class Services:
    """The three, by what they said of themselves."""

    said: Mapping[str, Mapping[str, str]]

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the demo's destinations are written with."""
        crm, klaviyo, mailchimp = (self.said[name] for name in WORDS)
        return {
            "CRM_URL": crm["url"],
            "CRM_SECRET": crm["secret"],
            "KLAVIYO_URL": klaviyo["url"],
            "KLAVIYO_KEY": klaviyo["key"],
            "MAILCHIMP_URL": mailchimp["url"],
            "MAILCHIMP_KEY": mailchimp["key"],
        }

    def pages(self) -> Iterator[str]:
        """Where each shows in a browser what it was told."""
        yield from (f"{name:10} {urljoin(said['url'], '/')}" for name, said in self.said.items())

    # ------------------------------------------------------------ what they were told

    def heard(self) -> Iterator[str]:
        """What the receiver of webhooks has, counted."""
        inbox = self._inbox()
        arrivals = inbox["arrivals"]
        again = sum(arrival["times"] - 1 for arrival in arrivals)
        verified = sum(arrival["verified"] for arrival in arrivals)
        yield (
            f"{inbox['requests']} requests, {len(arrivals)} enrollments, {verified} with a signature that was verified, "
            f"{again} of them more than once"
        )

    def examples(self) -> Iterator[str]:
        """The first two of them, as they came."""
        yield from (f"{arrival['type']} {json.dumps(arrival['body']['data'])}" for arrival in self._inbox()["arrivals"][:2])

    def members(self) -> Iterator[str]:
        """How many are on the list and have the tag, and that nothing was done that must never be."""
        klaviyo, mailchimp = self._klaviyo(), self._mailchimp()
        (listed,) = (one["members"] for one in klaviyo["lists"] if one["name"] == LIST)
        (audience,) = (one for one in mailchimp["audiences"] if one["id"] == AUDIENCE)
        statuses = ", ".join(f"{count:,} {status}" for status, count in audience["statuses"].items()) or "nobody"
        yield f"Klaviyo    list {LIST}: {len(listed):,} members; {len(klaviyo['flow_starts'])} mails by flows"
        tagged = audience["tags"].get(TAG, 0)
        yield f"Mailchimp  tag {TAG}: {tagged:,} members; audience: {statuses}; {len(mailchimp['mails'])} mails by automations"

    def stand(self, email: str) -> Iterator[str]:
        """How one person stands with both."""
        state = self._klaviyo()
        profile = next((one for one in state["profiles"] if one["email"] == email), None)
        lists = [one["name"] for one in state["lists"] if profile is not None and profile["id"] in one["members"]]
        consent = "not there" if profile is None else profile["consent"].lower().replace("_", " ")
        yield f"Klaviyo    {consent}; on {', '.join(lists) or 'no list'}"
        hash = md5(email.lower().encode(), usedforsecurity=False).hexdigest()
        key = b64encode(f"anystring:{self.said['mailchimp']['key']}".encode()).decode()
        url = f"{self.said['mailchimp']['url']}/3.0/lists/{AUDIENCE}/members/{hash}"
        try:
            member = _asked(url, headers={"Authorization": f"Basic {key}"})
        except HTTPError as error:
            if error.code != HTTPStatus.NOT_FOUND:
                raise
            member = {"status": "not there", "tags": []}
        tags = [one["name"] for one in member["tags"]]
        yield f"Mailchimp  {member['status']}; {'tags ' + ', '.join(tags) if tags else 'no tag'}"

    # ------------------------------------------------------------ what people do there

    def unsubscribes(self, email: str) -> None:
        """Somebody who had the newsletter wants no more mail, from either."""
        for doing in ({"do": "add", "list": ELSEWHERE}, {"do": "unsubscribe"}):
            self._do("klaviyo", {**doing, "email": email})
        for do in ("subscribe", "unsubscribe"):
            self._do("mailchimp", {"do": do, "email": email})

    def takes_off_the_list(self, email: str) -> None:
        """Somebody who works with Klaviyo takes a person off the list by hand; whom another seed keeps out of it is not there."""
        if any(profile["email"] == email for profile in self._klaviyo()["profiles"]):
            self._do("klaviyo", {"do": "remove", "list": LIST, "email": email})

    def _do(self, name: str, doing: Mapping[str, str]) -> None:
        _asked(urljoin(self.said[name]["url"], "/sandbox/people"), data=json.dumps(doing).encode())

    def _inbox(self) -> Any:
        return _asked(urljoin(self.said["webhook"]["url"], "/events"))

    def _klaviyo(self) -> Any:
        return _asked(urljoin(self.said["klaviyo"]["url"], "/state"))

    def _mailchimp(self) -> Any:
        return _asked(urljoin(self.said["mailchimp"]["url"], "/state"))


def _asked(url: str, *, data: bytes | None = None, headers: Mapping[str, str] | None = None) -> Any:
    request = Request(url, data=data, headers=dict(headers or {}))  # noqa: S310 - a stand-in of this very walk, on loopback
    with urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.load(answer)
