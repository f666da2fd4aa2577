"""A Klaviyo account on this machine, with a clock that stands, and somebody who asks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from segmentry.sandbox.klaviyo import KlaviyoSandbox
from segmentry.sandbox.klaviyo_asking import JobsTake
from tests.sandbox.klaviyo_answers import KIND, check_answer, check_taken

START = datetime(2026, 11, 23, 18, tzinfo=UTC)


@dataclass
class Clock:
    """An instant, until it is moved."""

    at: datetime = START

    def __call__(self) -> datetime:
        return self.at

    def move(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class Asker:
    """A client with the key. Every answer is one that the service's description knows, where that is at hand."""

    sandbox: KlaviyoSandbox
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        headers = {"Authorization": f"Klaviyo-API-Key {self.sandbox.key}", "revision": "2026-07-15", "Accept": KIND, "Content-Type": KIND}
        self.client = httpx.Client(base_url=self.sandbox.url, headers=headers, timeout=5, verify=False)

    def ask(self, method: str, path: str, body: Any = None, **params: str) -> httpx.Response:
        answer = self.client.request(method, path, json=body, params=params or None)
        where = httpx.URL(path).path
        check_answer(method, where, answer.status_code, answer.content)
        if answer.is_success and body is not None:
            check_taken(method, where, answer.request.content)
        return answer

    def get(self, path: str, **params: str) -> Any:
        """What is said there, which must be."""
        answer = self.ask("GET", path, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def data(self, path: str, **params: str) -> list[dict[str, Any]]:
        """All pages of it."""
        found: list[dict[str, Any]] = []
        told = self.get(path, **params)
        while True:
            found += told["data"]
            further = told["links"].get("next")
            if further is None:
                return found
            told = self.get(further)

    def upsert(self, **attributes: Any) -> httpx.Response:
        return self.ask("POST", "/api/profile-import", {"data": {"type": "profile", "attributes": attributes}})

    def id(self, **attributes: Any) -> str:
        """The id of a profile that is made or changed."""
        answer = self.upsert(**attributes)
        assert answer.is_success, answer.text
        return str(answer.json()["data"]["id"])

    def import_(self, *profiles: dict[str, Any], lists: Sequence[str] = (), **more: Any) -> httpx.Response:
        told: dict[str, Any] = {"type": "profile-bulk-import-job"}
        told["attributes"] = {"profiles": {"data": [{"type": "profile", "attributes": one, **more} for one in profiles]}}
        if lists:
            told["relationships"] = {"lists": {"data": [{"type": "list", "id": id} for id in lists]}}
        return self.ask("POST", "/api/profile-bulk-import-jobs", {"data": told})

    def imported(self, *profiles: dict[str, Any], lists: Sequence[str] = ()) -> dict[str, Any]:
        """A job that is done, or cancelled."""
        job = self.import_(*profiles, lists=lists).json()["data"]
        for _ in range(100):
            if job["attributes"]["status"] in ("complete", "cancelled"):
                return job
            job = self.get(f"/api/profile-bulk-import-jobs/{job['id']}")["data"]
        raise AssertionError("the job never ends")

    def event(self, unique_id: str | None = "e1", metric: str = "Entered VIP", profile: Any = None, **more: Any) -> httpx.Response:
        told = {
            "properties": {"segment": "vip"},
            "metric": {"data": {"type": "metric", "attributes": {"name": metric}}},
            "profile": {"data": {"type": "profile", "attributes": profile or {"email": "ada@example.com"}}},
            **({} if unique_id is None else {"unique_id": unique_id}),
            **more,
        }
        return self.ask("POST", "/api/events", {"data": {"type": "event", "attributes": told}})

    def relate(self, method: str, list: str, *ids: str) -> httpx.Response:
        return self.ask(method, f"/api/lists/{list}/relationships/profiles", {"data": [{"type": "profile", "id": id} for id in ids]})

    @property
    def newsletter(self) -> str:
        return self.sandbox.lists[0].id

    def meets(self, *kinds: str) -> None:
        """What the next requests meet."""
        self.sandbox.cruelty.script(kinds)


Opener = Callable[..., Asker]


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Opens accounts, which close at the end."""
    askers: list[Asker] = []

    def open(**settings: Any) -> Asker:
        clock = Clock()
        sandbox = KlaviyoSandbox(**{"clock": clock, "jobs": JobsTake(polls=0), **settings})
        sandbox.start()
        askers.append(Asker(sandbox, clock))
        return askers[-1]

    yield open
    for asker in askers:
        asker.client.close()
        asker.sandbox.close()


@pytest.fixture
def klaviyo(opened: Opener) -> Asker:
    return opened()


def errors(answer: httpx.Response) -> list[tuple[str, str]]:
    """Code and place of what is wrong with a request."""
    found = answer.json()["errors"]
    return [(one["code"], one["source"].get("pointer") or one["source"].get("parameter", "")) for one in found]
