"""A walk through the demo: `python -m segmentry.demo [--contacts N]`, which is what `make demo` runs.

It runs the very commands that a user would, each in a process of its own, and shows what they print.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import polars as pl

from segmentry.demo.layout import STRUCK_OFF, arrive, back_again, cut_off, lay_out, newcomers, next_hour
from segmentry.demo.services import Services, started

MARK = ".segmentry-demo"
"""Stands in a folder that this walk made, and may therefore make anew."""

HELD = 4
"""What a run ends with that a guard holds."""

FEWEST = 100
"""So many contacts that those who are named in the lists are among them."""

IDENTITY = UUID("5e97e372-0000-4000-8000-000000000001")


def main() -> int:
    """Lay the shop out, recompute, let an hour pass, recompute, and look at what changed; the exit code is 0 or a command's."""
    parser = argparse.ArgumentParser(prog="python -m segmentry.demo", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--contacts", type=int, default=1_000_000, help="how many (default: one million); events are five times as many")
    parser.add_argument("--folder", type=Path, default=Path("demo"), help="where (default: demo)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--now", type=datetime.fromisoformat, help="the instant to play it at (default: now)")
    parser.add_argument("--next-hour", action="store_true", help="only let an hour pass in FOLDER")
    options = parser.parse_args()
    if options.contacts < FEWEST:
        parser.error(f"--contacts: {FEWEST} or more; fewer have no VIPs")
    if options.next_hour:
        later = next_hour(options.folder, seed=options.seed)
        print(f"an hour later, {instant(later.as_of)}: {later.events:,} events and {later.orders:,} orders more")
        return 0
    walk = Walk(options.folder)
    try:
        walk.all(options.contacts, options.seed, options.now or datetime.now(UTC))
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


class Walk:
    """The steps, and how long each took."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.took: list[tuple[str, float]] = []
        self.environment = {**os.environ, "SEGMENTRY_ENV": "live"}
        self.struck_off: dict[str, Any] = {}
        self.unwilling: dict[str, Any] = {}

    def all(self, contacts: int, seed: int, now: datetime) -> None:
        """Every step, in order."""
        start_afresh(self.folder)
        say(f"A shop with {contacts:,} contacts and {contacts * 5:,} events, in {self.folder}/")
        with self.timed("make the data"):
            first = lay_out(self.folder, workspace_id=str(IDENTITY), now=now, contacts=contacts, seed=seed)
        say("Whom it tells: stand-ins on this machine, spoken to over HTTP as the services are")
        with started() as services:
            self.environment |= services.environment
            tell(services.pages())
            self.run("check")
            self.run("recompute", "--first-run", "--as-of", instant(first.as_of))
            print("\nWhoever is in a segment when a sequence is attached to it is its baseline: nobody was told of anything.")
            self.in_step(services)
            later = self.an_hour_later(services, seed)
            self.look(later)
            self.nobody_is_put_back(services, f"{later:%Y-%m-%dT%H:%M}:01Z")
        say("How long it took")
        for step, seconds in self.took:
            print(f"{seconds:7.2f} s  {step}")
        print(f"\nGo on in {self.folder}/: edit segments/*.yml, then segmentry --workspace {self.folder} --env live recompute --no-deliver")

    def in_step(self, services: Services) -> None:
        """Somebody says that a segment's present members are to be sent, and they are."""
        say("The segment `vip` is to be kept in step with a list in Klaviyo and a tag in Mailchimp; somebody says so, once")
        self.run("sync", "confirm", "vip", "klaviyo", "--send", "--yes")
        self.run("sync", "confirm", "vip", "mailchimp", "--send", "--yes")
        self.run("sync")
        print("\nWhat the two have now:")
        tell(services.members())

    def an_hour_later(self, services: Services, seed: int) -> datetime:
        """The next hour's data: first a snapshot that was cut off, which a guard holds, then the whole one."""
        say("An hour passes; the export of the contacts is cut off halfway")
        with self.timed("make the next hour's data"):
            second = next_hour(self.folder, seed=seed)
            whole = cut_off(self.folder)
        before = pl.read_parquet(min((self.folder / "data" / "contacts").glob("*.parquet")))
        self.struck_off = before.filter(contact_id=STRUCK_OFF).row(0, named=True)
        self.unwilling = newcomers(whole).row(1, named=True)
        services.takes_off_the_list(self.struck_off["email"])
        services.unsubscribes(self.unwilling["email"])
        print(f"{second.events:,} events, {second.orders:,} orders; contacts changed, came and went")
        print(f"by hand, in lists/: two more VIPs, and {called(self.struck_off)} is none any more")
        print(f"at Klaviyo somebody has taken {called(self.struck_off)} off the list already")
        print(f"{called(self.unwilling)}, one of the two, has unsubscribed at Klaviyo and at Mailchimp; the shop's data know nothing of it")
        self.run("recompute", "--as-of", instant(second.as_of), ends=HELD)
        print("\nHalf the contacts gone: the guard holds the run, and nobody was told of anything.")
        say("The whole export arrives")
        arrive(self.folder, whole)
        self.run("plan", "--as-of", instant(second.as_of))
        self.run("recompute", "--as-of", instant(second.as_of))
        print("\nOnly the difference was sent. What the receiver of webhooks heard:")
        tell(services.heard())
        tell(services.examples())
        print("What the two have now:")
        tell(services.members())
        return second.as_of

    def look(self, as_of: datetime) -> None:
        """What can be asked."""
        say("Whoever was enrolled")
        self.run("enrollments", "--limit", "5")
        say("Who came and went, and why")
        changes = self.folder / "changes.parquet"
        self.run("diff", "--output", str(changes))
        print(why(pl.read_parquet(changes)))
        entered = pl.read_parquet(changes).filter(segment="vip", change="entered", cause="list")
        if entered.height:
            self.run("explain", "vip", str(entered["contact"][0]), "--as-of", instant(as_of))
        say("A question of the moment")
        question = "location = 'UK' and count(order_placed, last => '90 days') >= 2"
        self.run("preview", question, "--limit", "3", "--as-of", instant(as_of))

    def nobody_is_put_back(self, services: Services, as_of: str) -> None:
        """Who was taken off the list there stays off, also as a member again; and nobody hears a thing twice."""
        say(f"{called(self.struck_off)} is a VIP after all")
        back_again(self.folder)
        self.run("recompute", "--as-of", as_of)
        self.run("status")
        print(f"\nNobody is put back. {called(self.struck_off)}, whom somebody at Klaviyo took off the list by hand:")
        tell(services.stand(self.struck_off["email"]))
        print(f"{called(self.unwilling)}, who had unsubscribed, and is so still with both; on a list there, no mail comes of it:")
        tell(services.stand(self.unwilling["email"]))
        print("The receiver of webhooks was told nothing twice:")
        tell(services.heard())

    def run(self, *words: str, ends: int = 0) -> None:
        """One command of the command line, shown as one would type it in the folder. `ends` is the exit code that is expected."""
        shown = " ".join(["segmentry", *(f'"{word}"' if " " in word else word for word in words)])
        print(f"\n$ {shown}", flush=True)
        with self.timed(shown):
            done = subprocess.run(
                [sys.executable, "-m", "segmentry", "--workspace", str(self.folder), *words], env=self.environment, check=False
            )
            if done.returncode != ends:
                raise subprocess.CalledProcessError(done.returncode or 1, shown)

    def timed(self, step: str) -> Timed:
        """A stretch of work whose seconds are told at the end."""
        return Timed(step, self.took)


class Timed:
    """Adds (step, seconds) to a list when the stretch ends well."""

    def __init__(self, step: str, took: list[tuple[str, float]]) -> None:
        self.step, self.took = step, took

    def __enter__(self) -> None:
        self.started = time.perf_counter()

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.took.append((self.step, time.perf_counter() - self.started))


def start_afresh(folder: Path) -> None:
    """An empty folder; what another walk left is removed, anything else stops this one."""
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise SystemExit(f"{folder} is there already and was not made by the demo; say another --folder")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARK).touch()


def why(changes: pl.DataFrame) -> str:
    """The changes counted by segment, change, cause and the segment they came through, as lines of text."""
    counted = (
        changes.group_by("segment", "change", "cause", "via").agg(pl.len().alias("contacts")).sort("segment", "change", "cause", "via")
    )
    rows = [counted.columns, *([("" if cell is None else f"{cell}") for cell in row] for row in counted.iter_rows())]
    widths = [max(len(row[place]) for row in rows) for place in range(len(counted.columns))]
    return "\n".join("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def called(contact: dict[str, Any]) -> str:
    """A person's name and key."""
    return f"{contact['first_name']} ({contact['contact_id']})"


def instant(when: datetime) -> str:
    """An instant as the command line takes it."""
    return f"{when:%Y-%m-%dT%H:%MZ}"


def tell(lines: Iterable[str]) -> None:
    """Lines of what somebody else has, a little to the right."""
    print("\n".join(f"  {line}" for line in lines), flush=True)


def say(headline: str) -> None:
    """A headline between steps."""
    print(f"\n=== {headline}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
