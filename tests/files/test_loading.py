"""Loading a workspace: what is accepted as it stands in the format, what is refused, and all of it at once."""

import time
from datetime import timedelta

import pytest

from segmentry.engine.config import parse_length
from segmentry.engine.loading import load
from segmentry.errors import WorkspaceError
from segmentry.rules.parse import parse_text

HEAD = "version: 1\nid: 7d0a1c52-6a0b-4c55-9d0e-0b8f5c3f9a11\n"
CONTACTS = "contacts: {path: data/contacts.parquet, key: contact_id}\n"


def workspace(root, text=HEAD + CONTACTS, **segments):
    (root / "segments").mkdir(exist_ok=True)
    (root / "segmentry.yml").write_text(text)
    for name, body in segments.items():
        (root / "segments" / f"{name}.yml").write_text(body)
    return root


def test_defaults(tmp_path):
    loaded = load(workspace(tmp_path))
    config = loaded.config
    assert (config.timezone, config.week_start, config.catalog, config.state) == ("UTC", "monday", "sqlite", ".segmentry")
    assert (config.engine.memory, config.engine.threads, loaded.temp) == (None, None, None)
    assert parse_length(config.retention.memberships) == timedelta(days=30)
    assert config.events == []
    assert (loaded.name, loaded.state, loaded.segments) == (tmp_path.name, tmp_path / ".segmentry" / "default", {})


WHOLE = """\
version: 1
id: 7D0A1C52-6a0b-4c55-9d0e-0b8f5c3f9a11
name: shop
timezone: Europe/London
week_start: sunday
state: .segmentry
catalog: sqlite
engine: {memory: 4 GiB, threads: 2, temp: tmp}
retention: {memberships: 30 days, addresses: 7 days}
contacts:
  path: data/contacts/{date}.parquet
  key: contact_id
  ready: data/contacts/{date}._SUCCESS
  email: email
  phone: phone
  fields: {postcode: text, price: "decimal(12, 2)"}
events:
  - path: data/events/*/*.parquet
    contact: contact_id
    at: occurred_at
    name: event
  - path: data/orders/*.parquet
    contact: customer_id
    at: created_at
    event: order_placed
    scale: 2
environments:
  default: {deliver: false}
  prod: {state: /var/lib/segmentry/prod}
"""


def test_the_whole_format_of_this_version(tmp_path):
    loaded = load(workspace(tmp_path, WHOLE), "prod")
    config = loaded.config
    assert config.id == "7d0a1c52-6a0b-4c55-9d0e-0b8f5c3f9a11"
    assert (config.contacts.email, config.contacts.fields["price"]) == ("email", "decimal(12, 2)")
    assert [(e.name, e.event, e.scale) for e in config.events] == [("event", None, 6), (None, "order_placed", 2)]
    assert str(loaded.state) == "/var/lib/segmentry/prod"
    assert loaded.temp == tmp_path / "tmp"
    assert load(tmp_path / "segmentry.yml").state == tmp_path / ".segmentry" / "default"


def test_segments_with_each_kind_of_rule(tmp_path):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/staff.csv").write_text("1\n")
    loaded = load(
        workspace(
            tmp_path,
            vip="label: VIP\ndescription: d\nowner: o\ntags: [a]\nwhere: >\n  location = 'UK'\n"
            "include: lists/staff.csv\nexclude: lists/staff.csv\n",
            uk="match: any\nrules:\n  - {field: location, operator: equals, value: UK}\n",
            everybody="where: true\n",
            staff="list: lists/staff.csv\n",
        )
    ).require()
    assert list(loaded.segments) == ["everybody", "staff", "uk", "vip"]
    vip = loaded.segments["vip"]
    assert (vip.label, vip.file, vip.include, vip.exclude, vip.list, vip.config.tags) == (
        "VIP",
        "segments/vip.yml",
        "lists/staff.csv",
        "lists/staff.csv",
        None,
        ["a"],
    )
    assert vip.syntax == loaded.segments["uk"].syntax == parse_text("location = 'UK'")
    assert vip.rule == "location = 'UK'\n"
    assert loaded.segments["uk"].rule == {"match": "any", "rules": [{"field": "location", "operator": "equals", "value": "UK"}]}
    assert loaded.segments["everybody"].syntax == parse_text("true")
    assert (loaded.segments["staff"].syntax, loaded.segments["staff"].list, loaded.segments["staff"].rule) == (
        None,
        "lists/staff.csv",
        None,
    )
    assert loaded.lists() == {"lists/staff.csv": tmp_path / "lists/staff.csv"}


def test_builder_values_are_taken_as_written(tmp_path):
    loaded = load(
        workspace(
            tmp_path,
            norway="rules:\n  - {field: country, operator: equals, value: NO}\n  - {field: joined, operator: after, value: 2026-01-31}\n",
        )
    )
    assert loaded.segments["norway"].syntax == parse_text("country = 'NO' and joined > '2026-01-31'")


def test_problems_of_all_files_come_at_once(tmp_path):
    root = workspace(
        tmp_path,
        HEAD.replace("version: 1", "version: 9") + CONTACTS,
        vip="lable: x\nwhere: a = = 1\n",
        uk="where: (a\n",
        ok="where: a = 1\n",
    )
    with pytest.raises(WorkspaceError) as raised:
        load(root)
    assert [(d.code[0], d.location.file) for d in raised.value.diagnostics] == [
        ("W", "segmentry.yml"), ("R", "segments/uk.yml"), ("W", "segments/vip.yml"), ("R", "segments/vip.yml"),
    ]  # fmt: skip


def test_broken_segments_stop_nothing_but_themselves(tmp_path):
    loaded = load(workspace(tmp_path, vip="where: (a\n", ok="where: a = 1\n", odd="lable: x\nwhere: a = 1\n"))
    assert set(loaded.segments) == {"vip", "ok"}
    assert loaded.segments["vip"].syntax is None
    assert loaded.names == {"vip", "ok", "odd"}
    with pytest.raises(WorkspaceError):
        loaded.require()


def test_an_unknown_environment_names_the_nearest(tmp_path):
    with pytest.raises(WorkspaceError, match="there is no environment `prd`") as raised:
        load(workspace(tmp_path, WHOLE), "prd")
    assert raised.value.diagnostics[0].help == "did you mean `prod`?"
    with pytest.raises(WorkspaceError, match="W303"):
        load(workspace(tmp_path), "prod")


def test_hidden_files_are_not_segments(tmp_path):
    root = workspace(tmp_path)
    (root / "segments/.vip.yml.swp").write_text("x")
    assert load(root).diagnostics == ()


@pytest.mark.parametrize("path", ["a\\0b", "x" * 5000, "lists/../../../../..", "${LISTS}/x.csv"])
def test_strange_paths_are_only_not_there(tmp_path, path):
    loaded = load(workspace(tmp_path, staff=f'list: "{path}"\n'))
    assert [d.code for d in loaded.diagnostics] == ["W302"]


def test_a_hundred_segments_load_at_once(tmp_path):
    body = "label: VIP\nowner: a@b.example\nwhere: >\n  status = 'lead' and sum(order.amount, last => '90 days') >= 500\n"
    body += "  and did(form, form_id = 'pricing') and not member('s1')\n"
    root = workspace(tmp_path, **{f"s{n}": body for n in range(100)})
    load(root)
    begun = time.process_time()
    assert len(load(root).segments) == 100
    assert time.process_time() - begun < 0.7
