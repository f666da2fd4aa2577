"""Stand-ins for what destinations tell, to try things out on: sandbox."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segmentry.cli_options import Settings, pass_settings, workspace_options
from segmentry.errors import SegmentryError

if TYPE_CHECKING:
    from segmentry.sandbox.webhook import Request


@click.group()
def sandbox() -> None:
    """Stand in for a destination, on this machine only."""


@sandbox.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8787, help="Where to listen; 0 is any free port. Default: 8787.")
@click.option("--secret-env", metavar="NAME", help="The variable with the signing secret. Default: a fresh secret, which is printed.")
@click.option(
    "--cruel",
    metavar="KIND[,KIND...]",
    default="",
    help="Misbehave so: 503, hang-applied, truncated, reset; a wrong one is told the others.",
)
@click.option("--share", type=click.FloatRange(0, 1), default=0.5, help="The share of requests that meets cruelty. Default: 0.5.")
@click.option("--seed", type=int, default=0, help="Draws the same cruelty again. Default: 0.")
@click.option("--store", type=click.Path(file_okay=False, path_type=Path), help="Keep what arrived in this folder, past the sandbox's end.")
@workspace_options()
@pass_settings
def webhook(settings: Settings, port: int, secret_env: str | None, cruel: str, share: float, seed: int, store: Path | None) -> None:
    """Receive webhooks, until Ctrl-C.

    Verifies their signatures, tells each id once, and shows in a browser what arrived. Prints its address, and the secret if
    it made one.
    """
    from segmentry.sandbox.webhook import WebhookSandbox

    def heard(request: Request) -> None:
        met = f", met {request.met}" if request.met else ""
        settings.talk.say(f"{request.headers.get('webhook-id', 'no id')}: {request.problem or 'verified'}{met}")

    receiver = WebhookSandbox(
        clock=lambda: datetime.now(UTC),
        secrets=[_secret(secret_env)] if secret_env else [],
        port=port,
        cruel=[kind.strip() for kind in cruel.split(",") if kind.strip()],
        share=share,
        seed=seed,
        store=store,
        heard=heard,
    )
    with receiver, _asked_to_stop() as stop:
        click.echo(f"url     {receiver.url}")
        if not secret_env:
            click.echo(f"secret  {receiver.secrets[0]}")
        sys.stdout.flush()
        settings.talk.say(f"what arrives shows at http://127.0.0.1:{receiver.port}/; Ctrl-C ends it")
        stop.wait()
    settings.talk.say(f"{len(receiver.inbox.arrivals):,} arrived in {receiver.count:,} requests")


def _secret(name: str) -> str:
    value = os.environ.get(name, "").strip()
    if not value:
        raise SegmentryError(f"the environment variable {name} is {'empty' if name in os.environ else 'not set'}")
    return value


@contextmanager
def _asked_to_stop() -> Iterator[threading.Event]:
    """Set by Ctrl-C or SIGTERM, which here are the way to end and no failure."""
    asked = threading.Event()

    def stop(*_: Any) -> None:
        asked.set()

    former = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


COMMANDS = (sandbox,)
