"""Whoever asks the Mailchimp stand-in, as a program would: over HTTP, with the key."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from segmentry.sandbox.mailchimp import AUDIENCE, MailchimpSandbox

LIST = f"/lists/{AUDIENCE}"


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 23, 18, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def pass_by(self, **span: float) -> None:
        self.at += timedelta(**span)


def hash_of(email: str) -> str:
    return hashlib.md5(email.strip().lower().encode()).hexdigest()


def at(email: str, audience: str = AUDIENCE) -> str:
    """The path of a member."""
    return f"/lists/{audience}/members/{hash_of(email)}"


class Client:
    """Asks, and says what the answer was."""

    def __init__(self, sandbox: MailchimpSandbox) -> None:
        self.sandbox = sandbox
        self.http = httpx.Client(base_url=f"{sandbox.url}/3.0", auth=("anystring", sandbox.key), timeout=10, trust_env=False)

    def ask(self, method: str, path: str, body: object = None, **params: Any) -> httpx.Response:
        return self.http.request(method, path, params=params or None, json=body)

    def done(self, method: str, path: str, body: object = None, **params: Any) -> Any:
        """What a request that succeeds is answered."""
        answer = self.ask(method, path, body, **params)
        assert answer.status_code in (200, 204), answer.text
        return answer.json() if answer.content else None

    def refused(self, method: str, path: str, body: object = None, **params: Any) -> tuple[int, str, str]:
        """Status, title and detail of a request that fails; where a field is at fault, that instead of the detail."""
        answer = self.ask(method, path, body, **params)
        assert answer.headers["content-type"].startswith("application/problem+json")
        said = answer.json()
        assert said["status"] == answer.status_code
        assert said["instance"]
        return answer.status_code, said["title"], said["errors"][0]["field"] if "errors" in said else said["detail"]

    def add(self, *emails: str, status: str = "subscribed", audience: str = AUDIENCE, **more: Any) -> Any:
        """Members, in one batch."""
        rows = [{"email_address": email, "status_if_new": status, **more} for email in emails]
        return self.done("POST", f"/lists/{audience}", {"members": rows, "update_existing": True})

    def member(self, email: str) -> Any:
        return self.done("GET", at(email))

    def status(self, email: str) -> str:
        return str(self.member(email)["status"])

    def tags(self, email: str) -> list[str]:
        return [tag["name"] for tag in self.member(email)["tags"]]

    def tag(self, name: str, *emails: str) -> str:
        """A new tag on these; the path of its segment."""
        made = self.done("POST", f"{LIST}/segments", {"name": name, "static_segment": list(emails)})
        return f"{LIST}/segments/{made['id']}"
