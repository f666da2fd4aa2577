"""Stand-ins for what destinations tell, to try things out on: sandbox."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from segmentry.cli_options import Settings, pass_settings, workspace_options
from segmentry.errors import SegmentryError

if TYPE_CHECKING:
    from segmentry.sandbox.klaviyo import Request as KlaviyoRequest
    from segmentry.sandbox.mailchimp import Request as MailchimpRequest
    from segmentry.sandbox.webhook import Request

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


@click.group()
def sandbox() -> None:
    """Stand in for a destination, on this machine only."""


def _serving_options(port: int) -> Callable[[Decorated], Decorated]:
    """What every sandbox may be told: where it listens, how cruel it is, and where it keeps what it took."""
    options = (
        click.option("--port", type=click.IntRange(0, 65535), default=port, help=f"Where to listen; 0 is any free port. Default: {port}."),
        click.option(
            "--cruel",
            metavar="KIND[,KIND...]",
            default="",
            help="Misbehave so: 503, hang-applied, truncated, reset; a wrong one is told the others.",
        ),
        click.option("--share", type=click.FloatRange(0, 1), default=0.5, help="The share of requests that meets cruelty. Default: 0.5."),
        click.option("--seed", type=int, default=0, help="Draws the same cruelty again. Default: 0."),
        click.option(
            "--store",
            type=click.Path(file_okay=False, path_type=Path),
            help="Keep what arrived in this folder, past the sandbox's end.",
        ),
    )

    def decorate(command: Decorated) -> Decorated:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _kinds(cruel: str) -> list[str]:
    return [kind.strip() for kind in cruel.split(",") if kind.strip()]


@sandbox.command()
@click.option("--secret-env", metavar="NAME", help="The variable with the signing secret. Default: a fresh secret, which is printed.")
@_serving_options(8787)
@workspace_options()
@pass_settings
def webhook(settings: Settings, secret_env: str | None, port: int, cruel: str, share: float, seed: int, store: Path | None) -> None:
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
        cruel=_kinds(cruel),
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


@sandbox.command()
@click.option("--key-env", metavar="NAME", help="The variable with the API key. Default: a key of its own, which is printed.")
@click.option("--account", metavar="ID", default="Sandbx", help="The account's id. Default: Sandbx.")
@click.option(
    "--list",
    "lists",
    metavar="NAME",
    multiple=True,
    default=["Newsletter"],
    help="A list that is there; may be repeated. Default: Newsletter.",
)
@click.option("--polls", type=click.IntRange(0), default=2, help="How many questions about an import find it unfinished. Default: 2.")
@click.option("--seconds", type=click.FloatRange(0), default=0.0, help="How long an import takes. Default: 0.")
@click.option(
    "--pace",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    help="How many times the service's rate limits; 1 is the service. Default: 1.",
)
@_serving_options(8788)
@workspace_options()
@pass_settings
def klaviyo(
    settings: Settings,
    key_env: str | None,
    account: str,
    lists: tuple[str, ...],
    polls: int,
    seconds: float,
    pace: float,
    port: int,
    cruel: str,
    share: float,
    seed: int,
    store: Path | None,
) -> None:
    """Stand in for a Klaviyo account, until Ctrl-C.

    Profiles, lists, import jobs and events, with consent and rate limits as the service has them; what is there shows in a
    browser. Prints its address, the account, the key if it is its own, and each list's id, which comes of the list's name.
    """
    from segmentry.sandbox.klaviyo import KlaviyoSandbox
    from segmentry.sandbox.klaviyo_asking import JobsTake

    def heard(request: KlaviyoRequest) -> None:
        met = f", met {request.met}" if request.met else ""
        settings.talk.say(f"{request.method} {request.path}: {request.status or 'no answer'}{met}")

    stand_in = KlaviyoSandbox(
        clock=lambda: datetime.now(UTC),
        port=port,
        key=_secret(key_env) if key_env else None,
        account=account,
        lists=lists,
        jobs=JobsTake(polls, seconds),
        pace=pace,
        cruel=_kinds(cruel),
        share=share,
        seed=seed,
        store=store,
        heard=heard,
    )
    with stand_in, _asked_to_stop() as stop:
        click.echo(f"url      {stand_in.url}")
        click.echo(f"account  {stand_in.account}")
        if not key_env:
            click.echo(f"key      {stand_in.key}")
        for one in stand_in.lists:
            click.echo(f"list     {one.id}  {one.name}")
        sys.stdout.flush()
        settings.talk.say(f"what is there shows at {stand_in.url}/; Ctrl-C ends it")
        stop.wait()
    settings.talk.say(f"{len(stand_in.profiles):,} profiles and {len(stand_in.events):,} events in {stand_in.count:,} requests")


@sandbox.command()
@click.option("--key-env", metavar="NAME", help="The variable with the API key. Default: a fresh key, which is printed.")
@click.option("--polls", type=click.IntRange(1), default=4, help="How many questions about a batch it takes to finish it. Default: 4.")
@_serving_options(8789)
@workspace_options()
@pass_settings
def mailchimp(
    settings: Settings, key_env: str | None, polls: int, port: int, cruel: str, share: float, seed: int, store: Path | None
) -> None:
    """Stand in for a Mailchimp account, until Ctrl-C.

    Audiences, tags, batches and journeys, with statuses and limits as the service has them; what is there shows in a browser.
    Prints what a destination says of it: its address, the key if it made one, the account, and an audience.
    """
    from segmentry.sandbox.mailchimp import AUDIENCE, MailchimpSandbox
    from segmentry.sandbox.mailchimp_state import BatchRules

    def heard(request: MailchimpRequest) -> None:
        met = f", met {request.met}" if request.met else ""
        settings.talk.say(f"{request.method} {request.path}: {request.status or 'not taken'}{met}")

    stand_in = MailchimpSandbox(
        clock=lambda: datetime.now(UTC),
        port=port,
        key=_secret(key_env) if key_env else None,
        batches=BatchRules(polls=polls),
        cruel=_kinds(cruel),
        share=share,
        seed=seed,
        store=store,
        heard=heard,
    )
    with stand_in, _asked_to_stop() as stop:
        click.echo(f"url       {stand_in.url}")
        if not key_env:
            click.echo(f"key       {stand_in.key}")
        click.echo(f"account   {stand_in.account}")
        click.echo(f"audience  {AUDIENCE}")
        sys.stdout.flush()
        settings.talk.say(f"what is there shows at {stand_in.url}/; Ctrl-C ends it")
        stop.wait()
    settings.talk.say(f"{stand_in.mails.total():,} mails in {stand_in.count:,} requests")


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
