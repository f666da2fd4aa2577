"""The demo workspace's files: definitions copied from `workspace/`, data made by `data`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import polars as pl

from segmentry.demo import data
from segmentry.demo.data import EVENTS_PER_CONTACT, HISTORY, HOUR, ORDERS_SHARE, Shop

HISTORY_FILES = 6
BY_HAND = "lists/vip_by_hand.csv"
NEVER = "lists/vip_never.csv"
STRUCK_OFF = 1013
"""A VIP by hand whom the next hour puts into the other list, which goes before it."""


@dataclass(frozen=True)
class Laid:
    """What was written: the instant it stands for (UTC, a full hour) and the rows of each table."""

    as_of: datetime
    contacts: int
    events: int
    orders: int


def lay_out(root: Path, *, workspace_id: str, now: datetime, contacts: int = 100_000, seed: int = 7) -> Laid:
    """Write the demo workspace into `root`: definitions, and data as they were one full hour before `now`.

    Five events for each of `contacts`, over 180 days; an eighth of them are orders. Existing files of the same names are overwritten.
    """
    for name, content in _definitions(files("segmentry.demo") / "workspace"):
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content.replace("{workspace_id}", workspace_id), encoding="utf-8")
    shop = Shop(seed, contacts, _full_hour(now) - HOUR)
    total = contacts * EVENTS_PER_CONTACT
    placed = round(total * ORDERS_SHARE)
    step = HISTORY / HISTORY_FILES
    starts = [shop.hour - HISTORY + step * part for part in range(HISTORY_FILES)]
    parts = list(zip(starts, _shares(total - placed, HISTORY_FILES), _shares(placed, HISTORY_FILES), strict=True))
    events = [data.events_between(shop, start, start + step, count, f"part {place}") for place, (start, count, _) in enumerate(parts)]
    orders = [data.orders_between(shop, start, start + step, count, f"part {place}") for place, (start, _, count) in enumerate(parts)]
    for start, event_part, order_part in zip(starts, events, orders, strict=True):
        _write(root / "data" / "events" / f"{start:%Y-%m-%d}.parquet", event_part)
        _write(root / "data" / "orders" / f"{start:%Y-%m-%d}.parquet", order_part)
    people = data.counted(data.first_contacts(shop), pl.concat(events), pl.concat(orders))
    _write(_snapshot(root, shop.hour), people)
    return Laid(shop.hour, people.height, total - placed, placed)


def next_hour(root: Path, *, seed: int = 7) -> Laid:
    """Write what the hour after the newest snapshot brings: one file of events, one of orders, a snapshot with what
    changed, two contacts more in the list of VIPs by hand, and one of those in it before in the list of who never is.
    """
    *earlier, newest = sorted((root / "data" / "contacts").glob("*.parquet"))
    part = f"hour {len(earlier)}"
    before = datetime.strptime(newest.stem, "%Y-%m-%dT%H").replace(tzinfo=UTC)
    contacts = pl.read_parquet(newest)
    shop = Shop(seed, contacts.height, before)
    after = before + HOUR
    total = max(40, contacts.height * EVENTS_PER_CONTACT // (HISTORY // HOUR))
    placed = round(total * ORDERS_SHARE)
    events = data.events_between(shop, before, after, total - placed, part)
    orders = data.orders_between(shop, before, after, placed, part)
    _write(root / "data" / "events" / f"{before:%Y-%m-%dT%H}.parquet", events)
    _write(root / "data" / "orders" / f"{before:%Y-%m-%dT%H}.parquet", orders)
    people = data.counted(data.an_hour_later(shop, contacts, part), events, orders)
    _write(_snapshot(root, after), people)
    with (root / BY_HAND).open("a", encoding="utf-8") as by_hand:
        by_hand.writelines(f"{contact}\n" for contact in newcomers(people)["contact_id"])
    never = root / NEVER
    if str(STRUCK_OFF) not in never.read_text(encoding="utf-8").split():
        with never.open("a", encoding="utf-8") as struck_off:
            struck_off.write(f"{STRUCK_OFF}\n")
    return Laid(after, people.height, events.height, orders.height)


def newcomers(people: pl.DataFrame) -> pl.DataFrame:
    """The two contacts whom the next hour makes VIPs by hand: from the middle, and by our own data nobody is to be spared them."""
    willing = people.filter(email_status="subscribed")
    return willing.slice(willing.height // 2, 2)


def back_again(root: Path) -> None:
    """Takes the VIP who was struck off out of the list of who never is."""
    never = root / NEVER
    lines = never.read_text(encoding="utf-8").splitlines(keepends=True)
    never.write_text("".join(line for line in lines if line.strip() != str(STRUCK_OFF)), encoding="utf-8")


def cut_off(root: Path) -> pl.DataFrame:
    """Leaves the first half of the newest snapshot, as an export does that was cut off; gives the whole one back."""
    newest = max((root / "data" / "contacts").glob("*.parquet"))
    whole = pl.read_parquet(newest)
    _write(newest, whole.head(whole.height // 2))
    return whole


def arrive(root: Path, whole: pl.DataFrame) -> None:
    """Writes the newest snapshot whole."""
    _write(max((root / "data" / "contacts").glob("*.parquet")), whole)


def _full_hour(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _snapshot(root: Path, hour: datetime) -> Path:
    return root / "data" / "contacts" / f"{hour:%Y-%m-%dT%H}.parquet"


def _shares(total: int, parts: int) -> list[int]:
    """`total` cut into `parts` whole numbers as equal as can be."""
    return [total * (part + 1) // parts - total * part // parts for part in range(parts)]


def _write(path: Path, frame: pl.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path, compression="zstd")


def _definitions(folder: Traversable, above: str = "") -> list[tuple[str, str]]:
    """Every file below `folder`: its path from there, and its text."""
    found: list[tuple[str, str]] = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        name = above + entry.name
        if entry.is_dir():
            found += _definitions(entry, name + "/")
        elif not name.endswith((".py", ".pyc")):
            found.append((name, entry.read_text(encoding="utf-8")))
    return found
