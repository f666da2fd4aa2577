"""What a webhook says, byte for byte; how it is signed; and what nobody may read anywhere."""

from __future__ import annotations

import base64
import json
import logging
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks import Webhook

from segmentry.engine.connectors.destination import Verdict
from segmentry.engine.connectors.registry import open_destination
from segmentry.engine.connectors.signatures import key_of, problem_of, signed_headers
from segmentry.errors import DestinationError
from tests.connectors.conftest import QUICK, Post, another_secret, batch, context, nothing, utc_now

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
VECTOR = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
VECTOR_BODY = b'{"test": 2432232314}'
VECTOR_TIME = datetime.fromtimestamp(1614265330, UTC)


# ---------------------------------------------------------------- signatures


def test_the_specification_s_own_example_is_signed_as_it_says() -> None:
    assert signed_headers([key_of(SECRET)], VECTOR["webhook-id"], VECTOR_TIME, VECTOR_BODY) == VECTOR
    assert problem_of([key_of(SECRET)], VECTOR, VECTOR_BODY, VECTOR_TIME) is None


def test_two_secrets_sign_both_and_either_verifies() -> None:
    secrets = [another_secret(), another_secret()]
    headers = signed_headers(map(key_of, secrets), "id", utc_now(), b"{}")
    for secret in secrets:
        assert Webhook(secret).verify(b"{}", headers) == {}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"webhook-id": "other"}, "no signature that fits"),
        ({"webhook-id": ""}, "no webhook-id"),
        ({"webhook-timestamp": "1614265331"}, "no signature that fits"),
        ({"webhook-timestamp": "9" * 5000}, "a timestamp that is no number"),
        ({"webhook-timestamp": "soon"}, "a timestamp that is no number"),
        ({"webhook-timestamp": "1614200000"}, "a timestamp too far from now"),
        ({"webhook-signature": "v1,AAAA"}, "no signature that fits"),
        ({"webhook-signature": ""}, "no webhook-signature"),
    ],
)
def test_what_was_changed_on_its_way_is_not_believed(change: dict[str, str], why: str) -> None:
    assert problem_of([key_of(SECRET)], VECTOR | change, VECTOR_BODY, VECTOR_TIME) == why


def test_another_body_is_not_believed() -> None:
    assert problem_of([key_of(SECRET)], VECTOR, VECTOR_BODY + b" ", VECTOR_TIME) == "no signature that fits"


@pytest.mark.parametrize("size", [24, 32, 64])
def test_secrets_of_fitting_size_are_taken(size: int) -> None:
    assert key_of("whsec_" + base64.b64encode(bytes(range(size))).decode()) == bytes(range(size))


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_AAAA", "whsec_" + "A" * 88, "whsec_not/base64!", SECRET.removeprefix("whsec_"), "whsk_" + "A" * 44]
)
def test_what_is_no_secret_is_refused_without_being_said(secret: str) -> None:
    with pytest.raises(ValueError, match="24 to 64 bytes") as refused:
        key_of(secret)
    assert len(secret) < 8 or secret not in str(refused.value)


# ---------------------------------------------------------------- what is said


def told(post: Post, *ids: str, **settings: Any) -> tuple[Any, dict[str, str]]:
    """The body and the headers of one webhook."""
    assert post.open(**settings).send(batch(*ids), nothing)[0].verdict is Verdict.SENT
    (request,) = post.sandbox.requests
    return json.loads(request.body), dict(request.headers)


def data(id: str) -> dict[str, str]:
    return {"enrollment_id": id, "contact": f"c_{id}"}


def test_one_row_is_its_data_under_its_own_id(post: Post) -> None:
    body, headers = told(post, "a")
    assert body == {"type": "enrollment.created", "timestamp": "2026-11-23T18:00:00Z", "data": data("a")}
    assert headers["webhook-id"] == "a"
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("segmentry/")
    assert headers["accept-encoding"] == "identity"  # an answer is read by the byte, not unpacked


def test_a_batch_is_a_list_whose_items_have_their_ids(post: Post) -> None:
    body, headers = told(post, "a", "b", batch=10)
    assert body["data"] == [{"id": "a", **data("a")}, {"id": "b", **data("b")}]
    assert headers["webhook-id"] == "a-to-b"


def test_a_batch_of_one_is_a_list_too_so_that_receivers_need_one_reading(post: Post) -> None:
    body, headers = told(post, "a", batch=10)
    assert body["data"] == [{"id": "a", **data("a")}]
    assert headers["webhook-id"] == "a"


def test_an_item_s_id_is_the_row_s_whatever_its_data_call_so(post: Post) -> None:
    told = batch("a")
    told = replace(told, rows=(replace(told.rows[0], data={"id": "theirs"}),))
    post.open(batch=2).send(told, nothing)
    assert json.loads(post.sandbox.requests[0].body)["data"] == [{"id": "a"}]


def test_a_cloudevent_has_the_row_s_id_and_is_signed(post: Post) -> None:
    body, headers = told(post, "a", format="cloudevents")
    assert body == {
        "specversion": "1.0",
        "id": "a",
        "source": "urn:segmentry:7d0a1c52:prod",
        "type": "enrollment.created",
        "time": "2026-11-23T18:00:00Z",
        "datacontenttype": "application/json",
        "data": data("a"),
    }
    assert headers["content-type"] == "application/cloudevents+json"
    assert headers["webhook-id"] == "a"


def test_cloudevents_in_a_batch_are_a_list_of_events(post: Post) -> None:
    body, headers = told(post, "a", "b", format="cloudevents", batch=2)
    assert [event["id"] for event in body] == ["a", "b"]
    assert headers["content-type"] == "application/cloudevents-batch+json"
    assert headers["webhook-id"] == "a-to-b"


def test_the_address_is_not_said_unless_a_field_says_it(post: Post) -> None:
    told(post, "a")
    assert b"@example.com" not in post.sandbox.requests[0].body


def test_a_number_that_json_has_no_word_for_is_no_webhook(post: Post) -> None:
    rows = batch("a").rows
    bad = type(rows[0])("a", "c", None, {"score": float("nan")})
    with pytest.raises(ValueError, match="JSON"):
        post.open().send(type(batch("a"))("a", "t", utc_now(), "s", (bad,)), nothing)
    assert post.sandbox.count == 0


# ---------------------------------------------------------------- what may be opened, and what is never said


@pytest.mark.parametrize(
    "url",
    [
        "http://crm.example/hook",
        "https:///hook",
        "https://crm.example:notaport/",
        "https://crm.example/a b",
        "https://crm.example/\n",
        "ftp://crm.example/",
        "https://[::1/",
        "https://xn--ü.example/hook",
    ],
)
def test_an_address_that_cannot_be_is_refused_without_being_said(url: str) -> None:
    settings = {"type": "webhook", "url": "${URL}", "secrets": ["${S}"]}
    with pytest.raises(DestinationError, match=r"destination `crm`: `url`") as refused:
        open_destination("crm", settings, context(URL="x" + url.strip() if url.endswith("\n") else url, S=SECRET))
    assert "hook" not in str(refused.value)


def test_a_name_and_password_in_the_address_are_refused() -> None:
    settings = {"type": "webhook", "url": "https://ann:sesame@crm.example/", "secrets": ["${S}"]}
    with pytest.raises(DestinationError, match="name or password") as refused:
        open_destination("crm", settings, context(S=SECRET))
    assert "sesame" not in str(refused.value)


def test_a_secret_that_is_none_is_refused_by_its_place(post: Post) -> None:
    settings = {"type": "webhook", "url": "https://crm.example/", "secrets": ["${S}", "${OLD}"]}
    with pytest.raises(DestinationError, match="secret 2 of 2 is no webhook secret") as refused:
        open_destination("crm", settings, context(S=SECRET, OLD="hunter2hunter2"))
    assert "hunter2" not in str(refused.value)


def test_nothing_of_a_request_is_logged_or_shown(post: Post, caplog: pytest.LogCaptureFixture) -> None:
    """Addresses may be secrets, payloads are personal: not even with everything logged."""
    caplog.set_level(logging.DEBUG)
    url = post.sandbox.url.replace("/hook", "/hook/s3same")
    destination = post.open(url=url)
    post.meets("503", "truncated")
    destination.send(batch("a"), nothing)
    destination.send(batch("b"), nothing)
    assert post.sandbox.count == 3
    assert [
        record for record in caplog.records if record.name.startswith(("httpx", "httpcore.connection", "httpcore.http11", "stamina"))
    ] == []
    shown = repr(destination) + repr(vars(destination)["_settings"])
    assert "s3same" not in shown + caplog.text


def test_others_who_use_the_same_libraries_are_logged_as_ever(post: Post, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    post.send("a")
    logging.getLogger("httpx").info("somebody else's request")
    logging.getLogger("stamina").warning("stamina.retry_scheduled", extra={"stamina.caused_by": "SomebodyElsesError()"})
    assert [record.name for record in caplog.records] == ["httpx", "stamina"]


def test_the_time_limit_is_read_as_written(post: Post) -> None:
    for written, seconds in {"20 seconds": 20.0, "1 s": 1.0, "120s": 120.0, "1 second": 1.0, QUICK: 0.3}.items():
        settings = vars(post.open())["_settings"].model_copy(update={"timeout": written})
        assert settings.seconds == seconds


def test_a_date_without_a_zone_in_retry_after_is_utc(post: Post) -> None:
    now = datetime(2026, 11, 23, 18, tzinfo=UTC)
    destination = post.open(clock=lambda: now)
    for text, seconds in {
        "Mon, 23 Nov 2026 18:00:30 GMT": 30.0,
        "Mon, 23 Nov 2026 18:00:30 -0000": 30.0,
        "Mon, 23 Nov 2026 17:00:00 GMT": 0.0,
        "Fri, 23 Nov 2029 17:00:00 GMT": 86400.0,
        "7": 7.0,
        "99999999999999999999": 86400.0,
        "-7": None,
        "": None,
        "1e3": None,
        "Mon, 1 Jan 999999999999 00:00:00 GMT": None,
    }.items():
        reply = type("Reply", (), {"headers": {"retry-after": text}})()
        assert destination._asked_to_wait(reply) == seconds, text
