"""The types of destinations, what may stand in the file for each, and where secrets come from."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from segmentry.engine.connectors import registry
from segmentry.engine.connectors.destination import Answer, Batch, Destination, Traits, Verdict
from segmentry.engine.connectors.registry import Context, open_destination, settings_model, traits_of, type_names
from segmentry.engine.connectors.settings import FilesSettings, WebhookSettings
from segmentry.errors import DestinationError, SegmentryError
from tests.connectors.conftest import another_secret, batch, context, nothing

BUILT_IN = ["files", "klaviyo", "mailchimp", "memory", "webhook"]
WEBHOOK = {"type": "webhook", "url": "https://crm.example/hook", "secrets": ["${S}"]}


def test_the_built_in_types() -> None:
    assert type_names() == BUILT_IN
    assert settings_model("files") is FilesSettings
    assert settings_model("webhook") is WebhookSettings
    assert settings_model("pigeon") is None


def test_asking_for_settings_loads_no_connector() -> None:
    program = (
        "import sys; from segmentry.engine.connectors import registry; registry.settings_model('webhook').model_json_schema();"
        "print([name for name in ('httpx', 'httpcore', 'stamina', 'polars', 'sqlalchemy') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("type", BUILT_IN)
def test_every_setting_is_described(type: str) -> None:
    model = settings_model(type)
    assert model is not None
    schema = model.model_json_schema()
    assert schema["description"]
    assert all(said.get("description") for said in schema["properties"].values())
    assert schema["additionalProperties"] is False


# ---------------------------------------------------------------- what may stand in the file


def problems(settings: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as refused:
        WebhookSettings.model_validate({**WEBHOOK, **settings})
    return str(refused.value)


def test_a_webhook_needs_its_address_and_a_secret_only() -> None:
    settings = WebhookSettings.model_validate(WEBHOOK)
    assert (settings.batch, settings.format, settings.allow_private, settings.seconds) == (1, "standard", False, 20.0)


@pytest.mark.parametrize("secret", ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "x${S}", "${S} ", "${}", "$S", "${1S}", ""])
def test_a_secret_in_the_file_is_refused_and_not_repeated(secret: str) -> None:
    said = problems({"secrets": [secret]})
    assert "a secret stands in the environment, never in this file" in said
    assert "MfKQ9r8" not in said


@pytest.mark.parametrize(
    "settings",
    [
        {"secrets": []},
        {"secrets": ["${A}", "${B}", "${C}", "${D}"]},
        {"batch": 0},
        {"batch": 1001},
        {"batch": "10"},
        {"format": "xml"},
        {"timeout": "0 s"},
        {"timeout": "121 s"},
        {"timeout": "2 minutes"},
        {"url": "crm.example/hook"},
        {"url": ""},
        {"allow_private": "yes"},
        {"pigeon": True},
    ],
)
def test_what_no_webhook_may_say(settings: dict[str, Any]) -> None:
    assert problems(settings)


@pytest.mark.parametrize("url", ["${URL}", "https://${HOST}/hook", "HTTPS://crm.example/", "http://127.0.0.1:8787/hook"])
def test_addresses_may_be_in_the_environment_whole_or_in_part(url: str) -> None:
    assert WebhookSettings.model_validate({**WEBHOOK, "url": url}).url == url


# ---------------------------------------------------------------- the environment


def test_a_missing_variable_is_named_with_the_destination_and_what_to_do() -> None:
    with pytest.raises(DestinationError, match=r"destination `crm`: the environment variable S is not set; set it where"):
        open_destination("crm", WEBHOOK, context())


def test_an_empty_variable_is_as_good_as_none() -> None:
    with pytest.raises(DestinationError, match="S is empty"):
        open_destination("crm", WEBHOOK, context(S=" \n"))


def test_a_variable_is_taken_without_the_line_end_that_files_give_it() -> None:
    open_destination("crm", WEBHOOK, context(S=another_secret() + "\n")).close()


def test_variables_stand_in_paths_too(tmp_path: Path) -> None:
    settings = {"type": "files", "path": "${PLACE}/out", "format": "csv"}
    open_destination("lake", settings, context(tmp_path, PLACE="exports")).send(batch("a"), nothing)
    assert list(tmp_path.glob("exports/out/welcome/*/a.csv"))


def test_an_absolute_path_is_taken_as_it_is(tmp_path: Path) -> None:
    settings = {"type": "files", "path": str(tmp_path / "abs"), "format": "csv"}
    open_destination("lake", settings, context(Path("elsewhere"))).send(batch("a"), nothing)
    assert list(tmp_path.glob("abs/welcome/*/a.csv"))


def test_what_may_stand_in_every_destination_is_no_type_s_own(tmp_path: Path) -> None:
    settings = {"type": "files", "path": "out", "format": "csv", "account": "ours", "renamed_from": ["pond"]}
    open_destination("lake", settings, context(tmp_path)).close()
    assert not traits_of(settings).needs_address
    assert traits_of({"type": "memory", "needs_address": True, "account": "ours"}).needs_address
    assert not traits_of({"type": "pigeon"}).needs_address


def test_an_unknown_type_is_told_with_the_ones_there_are() -> None:
    with pytest.raises(DestinationError, match=r"no type `webhok`; did you mean `webhook`"):
        open_destination("crm", {"type": "webhok"}, context())
    with pytest.raises(DestinationError, match=", ".join(BUILT_IN)):
        open_destination("crm", {"type": "xyz"}, context())


def test_settings_that_are_none_are_told_without_their_values() -> None:
    secret = another_secret()
    with pytest.raises(DestinationError, match=r"destination `crm`: `secrets.0`: a secret stands in the environment") as refused:
        open_destination("crm", {**WEBHOOK, "secrets": [secret]}, context())
    assert secret not in str(refused.value)


def test_no_secret_shows_in_what_is_opened_or_in_what_it_is_opened_in() -> None:
    secret = another_secret()
    around = context(S=secret)
    destination = open_destination("crm", WEBHOOK, around)
    destination.close()
    settings = vars(destination)["_settings"]
    assert settings.secrets == [secret]
    assert secret not in repr(around) + repr(destination) + repr(settings) + str(settings)


def test_a_destination_error_is_one_of_ours() -> None:
    assert issubclass(DestinationError, SegmentryError)


# ---------------------------------------------------------------- brought by other packages


class PigeonSettings(BaseModel):
    type: Literal["pigeon"]
    loft: str
    rings: dict[str, list[str]] = Field(default={}, repr=False)


class Pigeon(Destination):
    Settings = PigeonSettings
    traits = Traits(batch=1)

    def __init__(self, settings: PigeonSettings) -> None:
        self.settings = settings

    @classmethod
    def open(cls, name: str, settings: PigeonSettings, context: Context) -> Pigeon:
        assert name == "loft"
        assert context.environment == "prod"
        return cls(settings)

    def account(self) -> str | None:
        return self.settings.loft

    def send(self, batch: Batch, before: Any) -> Sequence[Answer]:
        before()
        return [Answer(Verdict.SENT)] * len(batch.rows)


BROKEN = object()


@pytest.fixture
def brought(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """What packages bring, as if they were installed."""
    points: list[EntryPoint] = []
    monkeypatch.setattr(registry, "entry_points", lambda **query: EntryPoints(points).select(**query))
    return points


def point(name: str, value: str = "tests.connectors.test_registry:Pigeon") -> EntryPoint:
    return EntryPoint(name, value, registry.GROUP)


def test_a_package_brings_a_type(brought: list[EntryPoint]) -> None:
    brought.append(point("pigeon"))
    assert type_names() == sorted([*BUILT_IN, "pigeon"])
    model = settings_model("pigeon")
    assert model is not None
    assert model.__name__ == "PigeonSettings"
    said = {"type": "pigeon", "loft": "${LOFT} street", "rings": {"left": ["${RING}", "b"]}}
    destination: Any = open_destination("loft", said, context(LOFT="High", RING="gold"))
    assert destination.account() == "High street"
    assert destination.settings.rings == {"left": ["gold", "b"]}
    assert destination.send(batch("a"), nothing) == [Answer(Verdict.SENT)]


def test_a_package_can_not_take_the_place_of_a_built_in_type(brought: list[EntryPoint]) -> None:
    brought.append(point("webhook"))
    assert settings_model("webhook") is WebhookSettings


def test_two_packages_with_one_type_are_told(brought: list[EntryPoint]) -> None:
    brought.extend([point("pigeon"), point("pigeon", "elsewhere:Pigeon")])
    with pytest.raises(DestinationError, match="several packages bring the destination type `pigeon`"):
        settings_model("pigeon")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("nowhere.to.be.found:Pigeon", "can't be loaded"),
        ("tests.connectors.test_registry:Missing", "can't be loaded"),
        ("tests.connectors.test_registry:BROKEN", "no `Settings` or no `open`"),
    ],
)
def test_a_package_that_is_broken_is_named(brought: list[EntryPoint], value: str, why: str) -> None:
    brought.append(point("pigeon", value))
    with pytest.raises(DestinationError, match=f"destination type `pigeon`.*{why}"):
        settings_model("pigeon")


def test_the_settings_of_the_workspace_format_are_json_schemas() -> None:
    assert json.dumps([model.model_json_schema() for model in (WebhookSettings, FilesSettings)])
