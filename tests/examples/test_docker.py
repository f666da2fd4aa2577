"""The Docker example, as far as it can be read: what stands in the image, who it runs as, and where its state lies."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from segmentry.cli import cli
from tests.examples.conftest import EXAMPLES, ROOT

DOCKER = EXAMPLES / "docker"
STATE = "/var/lib/segmentry"


def instructions(path: Path) -> list[tuple[str, str]]:
    """A Dockerfile's instructions and what they say, in order."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    return [(word.upper(), " ".join(rest.split())) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line.strip())]


FILE = instructions(DOCKER / "Dockerfile")
LAST_STAGE = FILE[max(place for place, (word, _) in enumerate(FILE) if word == "FROM") :]
SERVICE = YAML(typ="safe").load(DOCKER / "compose.yml")["services"]["segmentry"]


def said(word: str) -> str:
    """What the last stage says by an instruction that stands in it once."""
    (rest,) = [rest for instruction, rest in LAST_STAGE if instruction == word]
    return rest


def test_what_is_copied_in_is_there_and_let_in() -> None:
    let_in = set(re.findall(r"^!(\S+)$", (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8"), re.MULTILINE))
    copied = {source for word, rest in FILE if word == "COPY" and "--from" not in rest for source in rest.split()[:-1]}
    assert all((ROOT / source).exists() for source in copied)
    assert {source.split("/")[0] for source in copied} == let_in


def test_it_does_not_run_as_root() -> None:
    user, group = said("USER").split(":")
    assert int(user) >= 1000
    assert int(group) >= 1000
    made = next(rest for word, rest in LAST_STAGE if word == "RUN")
    assert f"--uid {user}" in made
    assert f"install -d -o {user} -g {group} -m 0750 {STATE}" in made
    # nothing after it makes what the user does not own
    after = [word for word, _ in LAST_STAGE[LAST_STAGE.index(("USER", said("USER"))) :]]
    assert not {"RUN", "COPY", "ADD"} & set(after)


def test_the_state_is_in_a_volume_and_all_else_is_read_only() -> None:
    assert said("VOLUME") == STATE
    mounts = {target: source for source, target, *_ in (one.rsplit(":", 2 if one.endswith(":ro") else 1) for one in SERVICE["volumes"])}
    assert mounts[STATE] == "state"
    assert SERVICE["read_only"]
    (workspace,) = [one for one in SERVICE["volumes"] if STATE not in one]
    assert workspace.endswith(":/workspace:ro")
    assert "SEGMENTRY_WORKSPACE=/workspace" in said("ENV")


@pytest.mark.parametrize("command", [json.loads(said("CMD")), SERVICE["command"]], ids=["image", "compose"])
def test_it_keeps_the_schedule(command: list[str]) -> None:
    assert json.loads(said("ENTRYPOINT")) == ["segmentry"]
    with cli.make_context("segmentry", list(command)) as context:
        cli.commands[command[-1]].make_context(command[-1], [], parent=context).close()
    assert command[-1] == "schedule"


def test_its_health_is_asked_for_by_a_command_that_there_is() -> None:
    program, name, *arguments = json.loads(said("HEALTHCHECK").partition("CMD ")[2])
    assert program == "segmentry"
    cli.commands[name].make_context(name, arguments).close()


def test_what_ends_it_waits_for_what_is_under_way() -> None:
    assert said("STOPSIGNAL") == "SIGTERM"
    assert SERVICE["stop_grace_period"] == "15m"


def test_the_readme_s_state_is_in_the_volume() -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```", (DOCKER / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    told = YAML(typ="safe").load(block)
    assert told["environments"]["prod"]["state"].startswith(f"{STATE}/")
    assert f"SEGMENTRY_ENV={next(iter(told['environments']))}" in said("ENV")
