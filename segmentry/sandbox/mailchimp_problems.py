"""What the Mailchimp stand-in refuses, in the service's own titles and sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

DOCUMENTATION = "https://mailchimp.com/developer/marketing/docs/errors/"

TITLES: Mapping[str, tuple[int, str]] = {
    "Bad Request": (400, "The request was refused."),
    "API Key Missing": (401, "Your request did not include an API key."),
    "API Key Invalid": (401, "Your API key may be invalid, or you've attempted to access the wrong datacenter."),
    "Resource Not Found": (404, "The requested resource could not be found."),
    "Method Not Allowed": (
        405,
        "The requested method and resource are not compatible. See the Allow header for this resource's available methods.",
    ),
    "Too Many Requests": (429, "You have exceeded the limit of 10 simultaneous connections."),
    "Internal Server Error": (500, "An unexpected internal error has occurred. Please contact Support for more information."),
    "JSON Parse Error": (400, "We encountered an unspecified JSON parsing error."),
    "Invalid Resource": (
        400,
        "The resource submitted could not be validated. For field-specific details, see the 'errors' array.",
    ),
    "Member Exists": (400, "{email} is already a list member. Use PUT to insert or update list members."),
    "Member In Compliance State": (
        400,
        "{email} is in a compliance state due to unsubscribe, bounce, or compliance review and cannot be subscribed.",
    ),
    "Forgotten Email Not Subscribed": (
        400,
        "{email} was permanently deleted and cannot be re-imported. The contact must re-subscribe to get back on the list.",
    ),
}
"""A problem's title, its status, and what it says where nothing more is known."""

FAKE = "{email} looks fake or invalid, please enter a real email address."
BUSY = "{email} has signed up to a lot of lists very recently; we're not allowing more signups for now."


class ProblemError(Exception):
    """A request, or a row of one, that is refused. `field` is the merge field at fault, if one is."""

    def __init__(self, title: str, detail: str | None = None, *, email: str = "", errors: Sequence[tuple[str, str]] = ()) -> None:
        self.status, usual = TITLES[title]
        self.title = title
        self.detail = (usual if detail is None else detail).replace("{email}", email)
        self.errors = tuple(errors)
        super().__init__(f"{title}: {self.detail}")

    def body(self, instance: str) -> dict[str, Any]:
        """What an answer says of it, as application/problem+json."""
        said: dict[str, Any] = {
            "type": DOCUMENTATION,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
        }
        if self.errors:
            said["errors"] = [{"field": field, "message": message} for field, message in self.errors]
        return said

    def row(self, email: str) -> dict[str, Any]:
        """What a batch of members says of a row that met it."""
        field, message = self.errors[0] if self.errors else ("", "")
        known = self.title == "Member Exists"
        return {
            "email_address": email,
            "error": self.detail,
            "error_code": "ERROR_CONTACT_EXISTS" if known else "ERROR_GENERIC",
            "field": field,
            "field_message": message,
        }


def not_found() -> ProblemError:
    """Nothing is there."""
    return ProblemError("Resource Not Found")


def invalid(field: str, message: str) -> ProblemError:
    """A body or a parameter that says what it can't."""
    return ProblemError("Invalid Resource", errors=[(field, message)])
