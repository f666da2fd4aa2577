"""The journeys of the account, as requests see and start them."""

from __future__ import annotations

from typing import Any

from segmentry.sandbox.mailchimp_operations import Operation, find_member
from segmentry.sandbox.mailchimp_problems import ProblemError, not_found
from segmentry.sandbox.mailchimp_state import Journey, World


def trigger(world: World, call: Operation) -> None:
    """POST /customer-journeys/journeys/{journey}/steps/{step}/actions/trigger: one mail, however often it is asked for."""
    journey = world.journeys.get(_number(call.parts["journey"]))
    step = _number(call.parts["step"])
    if journey is None or step not in journey.steps or journey.audience not in world.audiences:
        raise not_found()
    if not journey.live:
        raise ProblemError("Bad Request", "The journey is not active.")
    audience = world.audiences[journey.audience]
    email = call.body["email_address"]
    member = find_member(audience, email) if "@" in email else None
    if member is None or member.status != "subscribed":
        raise ProblemError("Bad Request", "The contact is not subscribed to the audience of the journey.")
    world.mail(journey.id, audience, member, f"step {step}")


def list_journeys(world: World, call: Operation) -> Any:
    """GET /customer-journeys/journeys: what there is, and whether it sends; what starts it is not said."""
    found = list(world.journeys.values())
    return call.page("journeys", found, lambda journey: _journey_said(world, journey), len(found))


def list_automations(_: World, call: Operation) -> Any:
    """GET /automations: classic ones, of which there are none; journeys don't show here."""
    return call.page("automations", [], lambda one: one, 0)


def _journey_said(world: World, journey: Journey) -> dict[str, Any]:
    started = sum(mail.journey == journey.id for mail in world.sent)
    return {
        "id": journey.id,
        "journey_name": journey.name,
        "status": "sending" if journey.live else "paused",
        "list_id": journey.audience,
        "stats": {"started": started, "in_progress": 0, "completed": started},
    }


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 15 else -1
