"""Random histories of activation with Klaviyo and Mailchimp at the other end: over real HTTP, with cruelty, kills and people's own hands.

After every step nobody is subscribed who was not, whoever was put in by hand is there still, whoever was taken off is not back.
In the end everybody is where they should be, and a run more asks for nothing; a failure says its seed. The seed draws everything but the
order in which requests of several threads are answered: what hangs on that may need the same history several times to be seen again.

In every third segments are divided, and syncs have some of the groups.

What they find was tried by breaking the program, a history after the other, mostly with the lists or the tags alone. Found within one
to four histories: the answer whether somebody may be mailed ignored, and everybody else taken off with who goes (lists and tags alike);
an event without the enrollment's id; whoever left taken for out, and tags that start automations (tags); all groups of a split told. Not
within four to eight: whoever left a list taken for out, a journey told again whose answer was lost, no look at who is who before somebody
first comes to a list, forgetting that something was asked. Those have tests of their own in `tests/connectors` and `tests/syncs`.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.histories.services import FEW, FEWS, SERVICES
from tests.histories.services_driver import ServicesDriver

HISTORIES, PARTS = 96, 48
"""Half a minute to a minute and a half each."""


def live(root: Path, seed: int, steps: int, *, synced: tuple[str, ...] = SERVICES, ends: bool = True) -> None:
    """A history; `synced` are the services that lists and tags are kept in step at, `ends`: whether it is followed to its rest."""
    number, told = -1, []
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        if seed % 2:
            for name in FEWS:
                patch.setattr(name, FEW)
        driver = ServicesDriver.living(root, seed, stack)
        driver.synced = synced
        try:
            driver.begin()
            for number in range(steps):  # noqa: B007 - a failure tells of it
                driver.step()
                told.append(", ".join(driver.done))
            if ends:
                driver.end()
        except BaseException as error:
            error.add_note("\n".join([*told, f"history {seed}, step {number} ({', '.join(driver.done)}), workspace {root}"]))
            raise


@pytest.mark.parametrize("service", SERVICES)
def test_the_beginning_of_a_history(tmp_path: Path, seed: int, service: str) -> None:
    live(tmp_path / "shop", seed, 1, synced=(service,), ends=False)


@pytest.mark.full
@pytest.mark.parametrize("part", range(PARTS))
def test_many_histories(tmp_path: Path, seed: int, part: int) -> None:
    for number in range(part, HISTORIES, PARTS):
        history = seed + 10_000 + number
        live(tmp_path / str(number), history, 8 + history % 12)
