"""What can go wrong between us and a receiver of webhooks, one by one, over real HTTP. Names say the fault and what must come of it.

After every test all signatures are verified by the `standardwebhooks` package, and what came twice came with the same bytes.
"""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from segmentry.engine.connectors import wire
from segmentry.engine.connectors.destination import Answer, DestinationStopped, Verdict
from segmentry.engine.connectors.webhook import ATTEMPTS
from segmentry.engine.connectors.wire import ANSWER_BYTES
from segmentry.sandbox.webhook import WebhookSandbox
from tests.connectors.conftest import Post, another_secret, batch, minutes, nothing, utc_now

BOUND = 2.0
"""Seconds in which a call with a time-out of 0.3 must be over, on a machine with much else to do."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# ---------------------------------------------------------------- throttled


def test_throttled_once_then_sent_within_the_call(post: Post, naps: list[float]) -> None:
    post.meets("429")
    assert post.send("a").verdict is Verdict.SENT
    assert post.sandbox.count == 2
    assert len(naps) == 1


def test_throttled_with_seconds_waits_that_long(post: Post, naps: list[float]) -> None:
    post.meets("429-after")
    assert post.send("a").verdict is Verdict.SENT
    assert naps == [1.0]


def test_throttled_with_a_date_waits_until_then(post: Post, naps: list[float]) -> None:
    post.meets("429-date")
    assert post.send("a").verdict is Verdict.SENT
    assert len(naps) == 1
    assert 0 <= naps[0] <= 1


def test_throttled_at_every_attempt_is_for_later_and_says_when(post: Post) -> None:
    post.meets(*["429-after"] * ATTEMPTS)
    answer = post.send("a")
    assert (answer.verdict, answer.after, answer.maybe) == (Verdict.LATER, 1.0, False)
    assert post.sandbox.count == ATTEMPTS
    assert post.seen == {}


def test_asked_to_wait_an_hour_is_for_later_at_once(post: Post, naps: list[float]) -> None:
    post.meets("503-after-long")
    answer = post.send("a")
    assert (answer.verdict, answer.after) == (Verdict.LATER, 3600.0)
    assert post.sandbox.count == 1
    assert naps == []


def test_asked_to_wait_in_words_nobody_understands_waits_at_our_own_pace(post: Post, naps: list[float]) -> None:
    post.meets("503-after-nonsense", "503-after-nonsense")
    assert post.send("a").verdict is Verdict.SENT
    assert len(naps) == 2
    assert naps[0] < naps[1] + 1  # it grows, apart from the jitter


def test_patience_that_is_used_up_ends_trying_again(post: Post, naps: list[float]) -> None:
    post.meets("429-after")
    assert post.send("a", patience=0.5).verdict is Verdict.LATER
    assert post.sandbox.count == 1
    assert naps == []


def test_a_throttled_batch_is_sent_again_whole_under_its_own_id(post: Post) -> None:
    post.meets("429", "503")
    assert post.send("a", "b", "c").verdict is Verdict.SENT
    assert {request.headers["webhook-id"] for request in post.sandbox.requests} == {"a-to-c"}
    assert post.seen == {"a": 1, "b": 1, "c": 1}


# ---------------------------------------------------------------- trouble on the other side


def test_internal_error_once_then_sent(post: Post) -> None:
    post.meets("500")
    assert post.send("a").verdict is Verdict.SENT
    assert post.seen == {"a": 1}


def test_internal_error_after_applying_then_sent_is_one_thing_to_the_receiver(post: Post) -> None:
    post.meets("500-applied")
    assert post.send("a").verdict is Verdict.SENT
    assert post.seen == {"a": 2}


def test_bad_gateway_throughout_is_for_later_and_may_have_been_applied(post: Post) -> None:
    post.meets(*["502"] * ATTEMPTS)
    answer = post.send("a")
    assert (answer.verdict, answer.maybe) == (Verdict.LATER, True)


def test_unavailable_throughout_is_for_later_and_was_not_applied(post: Post) -> None:
    post.meets(*["503"] * ATTEMPTS)
    answer = post.send("a")
    assert (answer.verdict, answer.maybe) == (Verdict.LATER, False)


def test_gateway_timeout_throughout_is_for_later_and_may_have_been_applied(post: Post) -> None:
    post.meets(*["504-applied"] * ATTEMPTS)
    answer = post.send("a")
    assert (answer.verdict, answer.maybe) == (Verdict.LATER, True)
    assert post.seen == {"a": ATTEMPTS}


def test_a_first_attempt_that_may_have_been_applied_is_not_forgotten_by_later_ones(post: Post) -> None:
    post.meets("500-applied", *["503"] * (ATTEMPTS - 1))
    answer = post.send("a")
    assert (answer.verdict, answer.reason, answer.maybe) == (Verdict.LATER, "the receiver has trouble (503)", True)


def test_request_timeout_of_the_receiver_is_sent_again(post: Post) -> None:
    post.meets("408")
    assert post.send("a").verdict is Verdict.SENT


def test_too_early_is_sent_again(post: Post) -> None:
    post.meets("425")
    assert post.send("a").verdict is Verdict.SENT


def test_a_server_error_nobody_expects_is_for_later_without_a_second_attempt(post: Post) -> None:
    post.meets("507")
    assert post.send("a").verdict is Verdict.LATER
    assert post.sandbox.count == 1


# ---------------------------------------------------------------- refused


def test_bad_request_is_rejected_for_good(post: Post) -> None:
    post.meets("400")
    answer = post.send("a")
    assert (answer.verdict, answer.again) == (Verdict.REJECTED, False)
    assert post.sandbox.count == 1


def test_unprocessable_is_rejected_for_good(post: Post) -> None:
    post.meets("422")
    answer = post.send("a")
    assert (answer.verdict, answer.again) == (Verdict.REJECTED, False)


def test_too_large_is_rejected_for_good(post: Post) -> None:
    post.meets("413")
    answer = post.send("a")
    assert (answer.verdict, answer.again, answer.reason) == (Verdict.REJECTED, False, "the receiver finds it too large (413)")


def test_too_large_a_batch_is_rejected_and_says_that_it_is_not_cut_anew(post: Post) -> None:
    post.meets("413")
    answer = post.send("a", "b")
    assert answer.verdict is Verdict.REJECTED
    assert "never cut anew: lower `batch`" in str(answer.reason)


def test_any_other_refusal_is_rejected_with_its_status(post: Post) -> None:
    post.meets("451")
    answer = post.send("a")
    assert (answer.verdict, answer.again, answer.reason) == (Verdict.REJECTED, False, "the receiver refuses it (451)")


def test_unauthorized_stops_the_destination(post: Post) -> None:
    post.meets("401")
    with pytest.raises(DestinationStopped, match="401") as stopped:
        post.send("a")
    assert not stopped.value.disabled


def test_forbidden_stops_the_destination(post: Post) -> None:
    post.meets("403")
    with pytest.raises(DestinationStopped, match="403"):
        post.send("a")


def test_not_found_stops_the_destination(post: Post) -> None:
    post.meets("404")
    with pytest.raises(DestinationStopped, match="404"):
        post.send("a")


def test_method_not_allowed_stops_the_destination(post: Post) -> None:
    post.meets("405")
    with pytest.raises(DestinationStopped, match="405"):
        post.send("a")


def test_gone_disables_the_destination(post: Post) -> None:
    post.meets("410")
    with pytest.raises(DestinationStopped, match="410") as stopped:
        post.send("a")
    assert stopped.value.disabled
    assert post.sandbox.count == 1


# ---------------------------------------------------------------- redirected


def test_a_redirect_stops_the_destination_and_names_the_host_only(post: Post) -> None:
    post.meets("redirect")
    with pytest.raises(DestinationStopped, match=r"elsewhere\.example") as stopped:
        post.send("a")
    assert "secret-path" not in str(stopped.value)


def test_a_redirect_without_a_place_stops_the_destination(post: Post) -> None:
    post.meets("302")
    with pytest.raises(DestinationStopped, match="another address"):
        post.send("a")


def test_a_redirect_is_never_followed(post: Post) -> None:
    post.meets("308")
    with pytest.raises(DestinationStopped, match="308"):
        post.send("a")
    assert post.sandbox.count == 1


# ---------------------------------------------------------------- silence and drops


def test_no_answer_and_nothing_applied_is_for_later(post: Post) -> None:
    post.meets("hang")
    answer = post.send("a")
    assert (answer.verdict, answer.maybe) == (Verdict.LATER, True)
    assert post.seen == {}


def test_no_answer_after_applying_then_again_is_one_thing_to_the_receiver(post: Post) -> None:
    post.meets("hang-applied")
    answer = post.send("a")
    assert (answer.verdict, answer.reason, answer.maybe) == (Verdict.LATER, "the receiver did not answer in time", True)
    assert post.send("a").verdict is Verdict.SENT
    assert post.seen == {"a": 2}


def test_an_answer_drop_by_drop_holds_us_no_longer_than_the_timeout(post: Post) -> None:
    post.meets("slow")
    began = time.monotonic()
    answer = post.send("a")
    assert (answer.verdict, answer.maybe) == (Verdict.LATER, True)
    assert time.monotonic() - began < BOUND


def test_headers_drop_by_drop_hold_us_no_longer_than_the_timeout(post: Post) -> None:
    post.meets("slow-headers")
    began = time.monotonic()
    answer = post.send("a")
    assert (answer.verdict, answer.maybe) == (Verdict.LATER, True)
    assert time.monotonic() - began < BOUND


def test_an_answer_without_end_is_read_no_further_than_needed(post: Post) -> None:
    post.meets("endless")
    began = time.monotonic()
    assert post.send("a").verdict is Verdict.SENT
    assert time.monotonic() - began < BOUND
    assert ANSWER_BYTES == 64 * 1024


# ---------------------------------------------------------------- broken


def test_a_truncated_answer_is_for_later_and_again_is_one_thing(post: Post) -> None:
    post.meets("truncated")
    answer = post.send("a")
    assert (answer.verdict, answer.maybe) == (Verdict.LATER, True)
    assert post.send("a").verdict is Verdict.SENT
    assert post.seen == {"a": 2}


def test_a_refusal_cut_off_in_the_middle_is_a_refusal(post: Post) -> None:
    post.meets("400-truncated")
    answer = post.send("a")
    assert (answer.verdict, answer.reason) == (Verdict.REJECTED, "the receiver finds it wrong (400)")


def test_a_connection_reset_before_applying_is_for_later(post: Post) -> None:
    post.meets("reset")
    answer = post.send("a")
    assert (answer.verdict, answer.maybe) == (Verdict.LATER, True)
    assert post.seen == {}


def test_a_connection_reset_after_applying_is_for_later_and_again_is_one_thing(post: Post) -> None:
    post.meets("reset-applied")
    assert post.send("a").verdict is Verdict.LATER
    assert post.send("a").verdict is Verdict.SENT
    assert post.seen == {"a": 2}


def test_a_connection_ended_without_a_word_is_for_later(post: Post) -> None:
    post.meets("close-applied")
    answer = post.send("a")
    assert (answer.verdict, answer.reason) == (Verdict.LATER, "the connection broke before the answer was whole")


def test_an_answer_that_is_no_http_is_for_later(post: Post) -> None:
    post.meets("garbage")
    answer = post.send("a")
    assert (answer.verdict, answer.maybe) == (Verdict.LATER, True)


def test_a_kept_connection_that_the_receiver_closed_meanwhile_is_made_anew(post: Post) -> None:
    destination = post.open()
    post.meets("close-applied")
    assert destination.send(batch("a"), nothing)[0].verdict is Verdict.LATER
    assert destination.send(batch("b"), nothing)[0].verdict is Verdict.SENT
    assert post.seen == {"a": 1, "b": 1}


# ---------------------------------------------------------------- a yes that looks odd


def test_a_page_for_people_with_status_200_counts_as_sent(post: Post) -> None:
    post.meets("html")
    assert post.send("a").verdict is Verdict.SENT


def test_an_empty_204_counts_as_sent(post: Post) -> None:
    post.meets("204")
    assert post.send("a").verdict is Verdict.SENT


def test_a_cookie_is_never_given_back(post: Post) -> None:
    destination = post.open()
    post.meets("cookie")
    for id in ("a", "b"):
        assert destination.send(batch(id), nothing)[0].verdict is Verdict.SENT
    assert not [request for request in post.sandbox.requests if "cookie" in request.headers]


# ---------------------------------------------------------------- never reached


def test_nobody_listening_is_for_later_and_certainly_not_applied(post: Post) -> None:
    answer = post.send("a", url=f"http://127.0.0.1:{free_port()}/hook")
    assert (answer.verdict, answer.maybe, answer.reason) == (Verdict.LATER, False, "the receiver could not be reached")


def test_a_name_without_an_address_is_for_later_and_certainly_not_applied(post: Post) -> None:
    def nowhere(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    answer = post.send("a", url="https://crm.example/hook", names=nowhere)
    assert (answer.verdict, answer.maybe, answer.reason) == (Verdict.LATER, False, "the receiver's name has no address")


def test_the_first_of_two_addresses_being_dead_the_second_is_told(post: Post) -> None:
    url = post.sandbox.url.replace("127.0.0.1", "crm.example")
    assert post.send("a", url=url, names=lambda host, port: ["127.0.0.99", "127.0.0.1"]).verdict is Verdict.SENT
    (request,) = post.sandbox.requests
    assert request.headers["host"] == f"crm.example:{post.sandbox.port}"


def test_failures_take_no_connection_s_place(post: Post) -> None:
    destination = post.open()
    for kind in ("reset", "close", "garbage", "truncated", "endless") * 3:
        post.meets(kind)
        destination.send(batch("a"), nothing)
    unreached = post.open(url="https://crm.example/", allow_private=False, names=lambda host, port: ["127.0.0.1"])
    for _ in range(3 * 8):
        with pytest.raises(DestinationStopped, match="private"):
            unreached.send(batch("a"), nothing)
    assert destination.send(batch("b"), nothing)[0].verdict is Verdict.SENT


def test_a_receiver_that_speaks_no_tls_is_for_later(post: Post) -> None:
    answer = post.send("a", url=post.sandbox.url.replace("http:", "https:"))
    assert (answer.verdict, answer.maybe, answer.reason) == (Verdict.LATER, False, "the receiver does not speak TLS as it should")


@pytest.fixture
def tls(post: Post, tmp_path: Path) -> Iterator[list[str]]:
    """The receiver speaks TLS, with a certificate of its own for `crm.example`. Gives the names that it was asked for."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=ours", "-addext", "subjectAltName=DNS:crm.example"]
    subprocess.run([*made, "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"], check=True, capture_output=True)
    speaks = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    speaks.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    asked: list[str] = []
    speaks.sni_callback = lambda _socket, name, _context: asked.append(name or "")
    server = vars(post.sandbox)["_server"]
    server.handle_error = lambda *_: None  # a handshake that fails is what is wanted
    server.socket = speaks.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    wire._public_trust.cache_clear()
    yield asked
    wire._public_trust.cache_clear()


def over_tls(post: Post, host: str) -> Answer:
    return post.send("a", url=f"https://{host}:{post.sandbox.port}/hook", names=lambda host, port: ["127.0.0.1"])


def test_a_certificate_nobody_vouches_for_is_for_later(post: Post, tls: list[str]) -> None:
    answer = over_tls(post, "crm.example")
    assert (answer.verdict, answer.maybe, answer.reason) == (Verdict.LATER, False, "the receiver's certificate can't be verified")
    assert tls == ["crm.example"]


def test_a_certificate_of_another_name_is_for_later(post: Post, tls: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    answer = over_tls(post, "other.example")
    assert (answer.verdict, answer.maybe, answer.reason) == (Verdict.LATER, False, "the receiver's certificate can't be verified")
    assert post.sandbox.count == 0


def test_the_certificate_is_held_against_the_name_though_the_address_is_connected_to(
    post: Post, tls: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    assert over_tls(post, "crm.example").verdict is Verdict.SENT
    assert tls == ["crm.example"]
    assert post.sandbox.requests[0].headers["host"] == f"crm.example:{post.sandbox.port}"


# ---------------------------------------------------------------- signatures


def test_a_receiver_with_another_secret_stops_the_destination(post: Post) -> None:
    with pytest.raises(DestinationStopped, match="one of the secrets"):
        post.send("a", secrets=[another_secret()])
    assert post.seen == {}
    assert post.sandbox.inbox.refused == {"no signature that fits": 1}


def test_a_receiver_that_knows_only_the_old_of_two_secrets_believes_us(post: Post) -> None:
    assert post.send("a", secrets=[another_secret(), *post.sandbox.secrets]).verdict is Verdict.SENT


def test_a_clock_ten_minutes_off_stops_the_destination(post: Post) -> None:
    with pytest.raises(DestinationStopped, match="401"):
        post.send("a", clock=lambda: utc_now() - minutes(10))
    assert post.sandbox.inbox.refused == {"a timestamp too far from now": 1}


def test_every_attempt_is_signed_with_its_own_time(post: Post) -> None:
    ticks = iter([utc_now() - minutes(2), utc_now() - minutes(1), utc_now()])
    post.meets("503", "503")
    assert post.send("a", clock=lambda: next(ticks)).verdict is Verdict.SENT
    assert len({request.headers["webhook-timestamp"] for request in post.sandbox.requests}) == 3


# ---------------------------------------------------------------- interrupted


def test_told_to_stop_between_attempts_nothing_more_is_sent(post: Post) -> None:
    post.meets("503", "503")
    asked = iter([None, KeyError("paused")])

    def before() -> None:
        error = next(asked)
        if error is not None:
            raise error

    with pytest.raises(KeyError, match="paused"):
        post.open().send(batch("a"), before)
    assert post.sandbox.count == 1


def test_a_receiver_restarted_after_applying_knows_what_it_took(tmp_path: Path) -> None:
    with WebhookSandbox(clock=utc_now, store=tmp_path) as first:
        post = Post(first)
        post.meets("reset-applied")
        assert post.send("a").verdict is Verdict.LATER
        post.opened.pop().close()
    with WebhookSandbox(clock=utc_now, store=tmp_path, secrets=first.secrets) as second:
        post = Post(second)
        assert post.send("a").verdict is Verdict.SENT
        post.opened.pop().close()
        assert post.seen == {"a": 2}
