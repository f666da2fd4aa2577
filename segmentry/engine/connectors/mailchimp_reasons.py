"""What Mailchimp's refusals mean, told from its own sentences, and how they are said to users: without an address.

compliance state, permanently deleted   LEFT: the person left there, and nothing of ours may change that
fake, invalid, a field's value          REJECTED for good: until what we say is another thing
signed up to a lot of lists             REJECTED, again: in some hours or days
anything else                           REJECTED, again
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from segmentry.engine.connectors.destination import Answer, Verdict

AWAY: Mapping[str, str] = {
    "unsubscribed": "unsubscribed there",
    "cleaned": "taken out there, as mails to the address came back",
    "archived": "archived there",
}
"""Statuses of people who left, and how that is said."""

FORGOTTEN = "was permanently deleted there"
COMPLIANCE = "unsubscribed, bounced or is under review there, and can't be subscribed"
GONE = "is not in the audience any more"

_SENTENCES: tuple[tuple[str, Answer], ...] = (
    ("compliance state", Answer(Verdict.LEFT, COMPLIANCE)),
    ("forgotten email", Answer(Verdict.LEFT, FORGOTTEN)),
    ("permanently deleted", Answer(Verdict.LEFT, FORGOTTEN)),
    ("fake or invalid", Answer(Verdict.REJECTED, "the service takes the address for fake or invalid")),
    ("valid email", Answer(Verdict.REJECTED, "the service takes the address for no e-mail address")),
    ("a lot of lists", Answer(Verdict.REJECTED, "the service takes no new subscription of this address for now", again=True)),
)
_EXISTS = ("already a list member", "member exists", "error_contact_exists")
_LONGEST = 160


@dataclass(frozen=True, slots=True)
class Problem:
    """What the service says is wrong, with a request or with a row of one.

    `fields`: what it says of single fields. `instance`: what it calls this very case, for its own people to find.
    """

    status: int
    title: str = ""
    detail: str = ""
    fields: tuple[tuple[str, str], ...] = field(default=())
    instance: str = ""

    @classmethod
    def of(cls, status: int, content: Any) -> Problem:
        """Of an answer (`application/problem+json`), however little of it is as it should be."""
        said = content if isinstance(content, Mapping) else {}
        errors = said.get("errors")
        fields = [(_word(one, "field"), _word(one, "message")) for one in errors] if isinstance(errors, list) else []
        return cls(status, _word(said, "title"), _word(said, "detail"), tuple(fields), shown(_word(said, "instance")))

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Problem:
        """Of a row in the `errors` of an answer."""
        fields = ((_word(row, "field"), _word(row, "field_message")),) if _word(row, "field") else ()
        return cls(400, _word(row, "error_code"), _word(row, "error"), fields)

    @property
    def exists(self) -> bool:
        """Whether it is that somebody is there already."""
        return any(words in self._text for words in _EXISTS)

    @property
    def about_status(self) -> bool:
        """Whether it is that a member must, or must not, say something of the status."""
        return "status_if_new" in self._text or any(name.endswith("status") for name, _ in self.fields)

    def answer(self) -> Answer:
        """What it means for the row."""
        for words, answer in _SENTENCES:
            if words in self._text:
                return answer
        named = [(name, message) for name, message in self.fields if name]
        if named:
            name, message = named[0]
            return Answer(Verdict.REJECTED, f"the service refuses the field {shown(name)}: {shown(message)}")
        return Answer(Verdict.REJECTED, f"the service refuses it: {self.summary}", again=True)

    @property
    def summary(self) -> str:
        """In few words."""
        return shown(self.detail or self.title) or f"status {self.status}"

    @property
    def _text(self) -> str:
        return " ".join([self.title, self.detail, *(f"{name} {message}" for name, message in self.fields)]).lower()


def away(status: str | None) -> Answer | None:
    """What to say of somebody with the status, who left; None for who didn't."""
    return None if status not in AWAY else Answer(Verdict.LEFT, AWAY[str(status)], status=status)


def shown(text: str) -> str:
    """The service's words, without what looks like an address or a key, and not too many."""
    clean = re.sub(r"\S*@\S*", "(an address)", text)
    clean = re.sub(r"\b[0-9a-f]{32}\S*", "(…)", clean)
    clean = " ".join(clean.split()).strip()
    return clean if len(clean) <= _LONGEST else clean[: _LONGEST - 1] + "…"


def _word(said: Any, key: str) -> str:
    value = said.get(key) if isinstance(said, Mapping) else None
    return value if isinstance(value, str) else ""
