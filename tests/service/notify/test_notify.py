"""Receivers are told of episodes: each change once, in order, and never at the scores' cost."""

import base64
import hashlib
import hmac
import json
import re
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from service.bootstrap import Service
from service.clock import parse_time
from service.errors import SettingsError
from service.notify import sender
from service.notify.messages import About, Kind, message, signature
from service.notify.post import AwayError, Receiver, RefusedError, post
from service.notify.sender import Sending
from service.settings.loading import load_settings
from service.sinks import outbox
from service.sinks.history import History
from service.sinks.outbox import Outbox, Target
from service.sinks.retention import Retention
from service.telemetry.metrics import Metrics
from tests.certificates import self_signed
from tests.service.notify.receiver import WAIT_SECONDS, Got, receiving
from tests.service.notify.receiver import Receiver as Hook
from tests.service.parts import make_pipeline, raw_batch, wave
from tests.service.test_api import NDJSON, running

SECRET = "whsec_" + base64.b64encode(b"a key of some bytes").decode()
CHANGE: dict[str, Any] = {
    "id": "default:log:0:17", "detector": "default", "stream": "web-1", "state": "open",
    "change": "opened", "alarm": True, "severity": "critical", "score": 3.1,
    "start": "2026-11-21T07:00:00Z", "end": "2026-11-21T07:00:00Z", "why": "cpu <0.98> & rising",
    "offset": 17,
}  # fmt: skip
CLOSED = {**CHANGE, "state": "closed", "change": "closed", "why": None, "alarm": False}
TLS = ssl.create_default_context()


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    monkeypatch.setattr(sender, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(sender, "LOOK_SECONDS", 0.01)
    with receiving() as one:
        yield one


def notified(tmp_path: Path, hook: Hook, **more: Any) -> Iterator[tuple[Service, TestClient]]:
    """A running service that tells the hook, as it does when it serves."""
    to = {"url": hook.url, "private": True, "secret": SECRET, **more}
    for service, client in running(
        tmp_path, notify={"hook": to}, api={"public_url": "https://wakeful.example/w"}
    ):
        service.sender.start()
        yield service, client


def send(client: TestClient, stream: str = "web-1", spikes: tuple[int, ...] = (350,)) -> None:
    body = b"\n".join(wave(400, stream, spikes=spikes))
    reply = client.post("/api/v1/events?scores=true", content=body, headers=NDJSON)
    assert reply.status_code == 200


def told(got: list[Got]) -> list[tuple[str, str]]:
    return [(one.json["type"], one.json["data"]["stream"]) for one in got]


def test_an_episode_is_told_when_it_opens_and_when_it_ends(tmp_path: Path, hook: Hook) -> None:
    for _, client in notified(tmp_path, hook):
        send(client)
        opened, closed = hook.wait(2)
        assert told([opened, closed]) == [("episode.opened", "web-1"), ("episode.closed", "web-1")]
        (episode,) = client.get("/api/v1/episodes").json()["items"]
        data = opened.json["data"]
        assert (data["id"], data["why"]) == (episode["id"], episode["began"])
        assert data["link"] == "https://wakeful.example/w/#/episodes/default%3Alog%3A0%3A350"
        assert opened.path == "/hook"
    assert len(hook.got) == 2


def test_a_webhook_is_signed_as_the_standard_has_it(tmp_path: Path, hook: Hook) -> None:
    """Worked out again here, from the standard's words."""
    for _, client in notified(tmp_path, hook):
        send(client)
        (got, _) = hook.wait(2)
    headers = {name.lower(): value for name, value in got.headers.items()}
    name, stamp = headers["webhook-id"], headers["webhook-timestamp"]
    signed = f"{name}.{stamp}.".encode() + got.body
    digest = hmac.new(b"a key of some bytes", signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"


def test_what_is_not_taken_is_told_again_in_order(tmp_path: Path, hook: Hook) -> None:
    hook.answers = [503, 429, 500]
    for _, client in notified(tmp_path, hook):
        send(client)
        got = hook.wait(5)
        assert told(got) == [("episode.opened", "web-1")] * 4 + [("episode.closed", "web-1")]
        assert len({one.headers["webhook-id"] for one in got[:4]}) == 1
        wait_states(client, ["sent", "sent"])
        metrics = client.get("/metrics").text
        assert 'wakeful_notifications_total{outcome="retried",target="hook"} 3.0' in metrics
        assert 'wakeful_notifications_total{outcome="sent",target="hook"} 2.0' in metrics


def test_what_is_refused_is_kept_and_can_be_told_again(tmp_path: Path, hook: Hook) -> None:
    hook.answers = [410]
    for _, client in notified(tmp_path, hook):
        send(client)
        hook.wait(2)
        wait_states(client, ["sent", "dead"])
        (dead,) = client.get("/api/v1/notifications?state=dead").json()["items"]
        assert (dead["target"], dead["stream"], dead["attempts"]) == ("hook", "web-1", 1)
        assert "410" in dead["said"]
        again = client.post(f"/api/v1/notifications/{dead['id']}/again").json()
        assert again["state"] == "waiting"
        assert told(hook.wait(3))[2] == ("episode.opened", "web-1")
        wait_states(client, ["sent", "sent"])
        assert client.post("/api/v1/notifications/999/again").status_code == 404


def test_after_a_day_it_is_given_up(
    tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "GIVE_UP_SECONDS", -1.0)
    hook.answers = [503, 503]
    for _, client in notified(tmp_path, hook):
        send(client)
        wait_states(client, ["dead", "dead"])
        assert client.get("/readyz?verbose").json()["not_told"] == ["hook"]


def test_a_receiver_that_hangs_holds_up_nothing(tmp_path: Path, hook: Hook) -> None:
    hook.held.clear()
    for service, client in notified(tmp_path, hook):
        send(client)
        send(client, "web-2")  # scored, while nobody was told of the first
        assert client.get("/readyz").status_code == 200
        assert hook.got == []
        assert service.pipeline.lag_records == 0
        hook.held.set()
        assert len(told(hook.wait(4))) == 4


def test_nobody_waits_for_a_receiver_that_hangs_to_end_or_to_read_settings_again(
    tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "CLOSE_SECONDS", 0.01)
    monkeypatch.setattr("service.notify.post.SECONDS", 60.0)
    hook.held.clear()
    for service, client in notified(tmp_path, hook):
        send(client)
        assert hook.asked.wait(WAIT_SECONDS)
        service.sender.close()
        assert hook.got == []
        hook.held.set()
        wait_states(client, ["waiting", "sent"])  # what it said in the end is noted


def test_what_was_told_is_not_told_again_after_a_crash(
    tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told, and then crashed before the checkpoint: the events are read again."""
    for service, client in notified(tmp_path, hook):
        monkeypatch.setattr(service.pipeline, "checkpoint", lambda *_: None)  # the crash
        send(client)
        hook.wait(2)
        wait_states(client, ["sent", "sent"])
    for service, client in notified(tmp_path, hook):
        wait_for(lambda s=service: s.pipeline.lag_records == 0 and s.pipeline.ready)
        assert client.get("/api/v1/streams/web-1").json()["events"] == 400
        scored = 'wakeful_events_scored_total{detector="default"} 400.0'
        assert scored in client.get("/metrics").text, "they are read again"
        send(client, "web-2")
        hook.wait(4)
    assert [stream for _, stream in told(hook.got)] == ["web-1", "web-1", "web-2", "web-2"]


@pytest.mark.parametrize(
    ("only", "count"),
    [
        ({"streams": "db-*"}, 0),
        ({"streams": "web-?"}, 2),
        ({"detectors": ["other"]}, 0),
        ({"detectors": ["default"]}, 2),
        ({"closed": False}, 1),
        ({"least_severity": "minor"}, 2),
    ],
)
def test_a_receiver_is_told_of_what_it_wants(
    tmp_path: Path, hook: Hook, only: dict[str, Any], count: int
) -> None:
    for _, client in notified(tmp_path, hook, **only):
        send(client)
        hook.wait(count)
        assert len(client.get("/api/v1/notifications").json()["items"]) == count


def outbox_of(history: History, **target: Any) -> Outbox:
    wants = {"detectors": frozenset(), "streams": re.compile(".*"), "least_severity": "minor"}
    return Outbox(history, [Target(**{"name": "hook", "closed": True, **wants, **target})])


def deliver(outbox: Outbox, *changes: dict[str, Any]) -> None:
    pipeline, sink = make_pipeline([raw_batch(wave(5))])
    pipeline.run()
    outbox.deliver(replace(sink.deliveries[0], episodes=[*changes]))


def change(kind: str, severity: str, offset: int, alarm: bool = False) -> dict[str, Any]:
    state = "closed" if kind == "closed" else "open"
    why = None if kind == "closed" else "so"
    return {**CHANGE, "change": kind, "state": state, "severity": severity, "offset": offset,
            "alarm": alarm, "why": why}  # fmt: skip


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    made = History.of_file(tmp_path / "wakeful.db")
    yield made
    made.close()


def claimed(outbox: Outbox) -> list[str]:
    """What is told, one after the other."""
    told = []
    while (waiting := outbox.claim("hook")) is not None:
        told.append(waiting.change["change"])
        outbox.settle(waiting, "sent")
    return told


@pytest.mark.parametrize(
    ("least", "course", "told"),
    [
        ("major", [("opened", "minor"), ("closed", "minor")], []),
        ("major", [("opened", "minor"), ("continued", "major"), ("closed", "major")],
         ["continued", "closed"]),
        ("minor", [("opened", "minor"), ("continued", "minor"), ("continued", "major")],
         ["opened", "continued"]),
        ("critical", [("opened", "minor"), ("continued", "major"), ("closed", "major")], []),
    ],
)  # fmt: skip
def test_an_episode_is_told_once_it_is_severe_enough_and_then_its_end(
    history: History, least: str, course: list[tuple[str, str]], told: list[str]
) -> None:
    outbox = outbox_of(history, least_severity=least)
    for offset, (kind, severity) in enumerate(course):
        deliver(outbox, change(kind, severity, offset, alarm=kind == "opened"))
    assert claimed(outbox) == told


def test_of_two_instances_none_tells_the_end_before_the_begin(history: History) -> None:
    one, other = outbox_of(history), outbox_of(history)
    deliver(one, change("opened", "minor", 1), change("closed", "minor", 2))
    deliver(one, {**change("opened", "minor", 3), "id": "another"})
    begin = one.claim("hook")
    assert begin is not None
    another = other.claim("hook")
    assert another is not None
    assert (begin.change["change"], another.change["id"]) == ("opened", "another")
    assert other.claim("hook") is None
    one.settle(begin, "waiting", "away", seconds=9e9)
    assert other.claim("hook") is None, "the end waits for the begin, whoever tries it"
    one.settle(begin, "sent")
    assert claimed(other) == ["closed"]


def test_what_nobody_sends_is_given_up_after_a_day_and_then_forgotten(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receiver that is not configured any more has no sender."""
    gone, hook = outbox_of(history, name="gone"), outbox_of(history)
    deliver(gone, change("opened", "minor", 1))
    metrics = Metrics()
    retention = Retention(history, hook, 90.0, metrics)
    retention.trim()
    assert hook.listed("gone", "dead", None, 10) == ([], None)
    monkeypatch.setattr(outbox, "GIVE_UP_SECONDS", -1.0)
    retention.trim()
    counted = {"target": "gone", "outcome": "dead"}
    assert metrics.registry.get_sample_value("wakeful_notifications_total", counted) == 1.0
    (dead,), _ = hook.listed("gone", "dead", None, 10)
    assert dead["said"] == "given up after a day: nobody sends to this receiver"
    hook.trim(before=9e9)
    assert hook.listed(None, None, None, 10) == ([], None)


def test_the_end_of_an_old_episode_is_told_to_who_heard_of_it(history: History) -> None:
    """What was told of it is older than all that is kept, and it is open still."""
    to = outbox_of(history)
    opened, closed = change("opened", "minor", 1), change("closed", "minor", 2)
    pipeline, sink = make_pipeline([raw_batch(wave(5))])
    pipeline.run()
    more = {"peak": CHANGE["id"], "features": []}
    history.deliver(replace(sink.deliveries[0], episodes=[{**opened, **more}]))
    deliver(to, opened)
    assert claimed(to) == ["opened"]
    history.trim(before=9e9)
    to.trim(before=9e9)
    deliver(to, closed)
    assert claimed(to) == ["closed"]
    history.deliver(replace(sink.deliveries[0], episodes=[{**closed, **more}]))
    history.trim(before=9e9)
    to.trim(before=9e9)
    assert to.listed(None, None, None, 10) == ([], None)


def test_a_receiver_that_is_away_for_long_is_asked_again_at_a_steady_pace() -> None:
    """Each of many rows that wait fails on its own, and all of these count."""
    waits = [sender.pause_after(failed) for failed in (1, 2, 20, 5000)]
    assert waits == [2 * sender.FIRST_WAIT, 4 * sender.FIRST_WAIT] + [sender.LONGEST_PAUSE] * 2


def test_a_sender_goes_on_after_what_nobody_thought_of(
    tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "LONGEST_PAUSE", 0.01)
    broken = iter([True])

    def odd(*given: Any) -> Any:
        if next(broken, False):
            raise ZeroDivisionError
        return message(*given)

    monkeypatch.setattr(sender, "message", odd)
    monkeypatch.setattr("service.sinks.outbox.CLAIM_SECONDS", 0.0)
    for _, client in notified(tmp_path, hook):
        send(client)
        assert len(told(hook.wait(2))) == 2


def test_an_answer_that_trickles_in_does_not_hold_up_for_ever(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.notify.post.SECONDS", 0.2)
    hook.held.clear()
    with pytest.raises(AwayError):
        post(Receiver(hook.url, True, TLS), message("webhook", About("1", CHANGE, 0.0)))


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "0.0.0.0", "224.0.0.1", "::1", "fe80::1",  # noqa: S104
     "fd00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "ff02::1",
     "192.0.0.8", "64:ff9b:1::a00:1"],
)  # fmt: skip
def test_what_stands_for_a_private_address_is_one(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(RefusedError, match="private"):
        post(Receiver(f"https://{host}/x", False, TLS), message("webhook", About("1", CHANGE, 0.0)))


def test_what_is_muted_is_told_to_nobody(tmp_path: Path, hook: Hook) -> None:
    for _, client in notified(tmp_path, hook):
        client.post("/api/v1/mutes", json={"stream": "web-1"})
        send(client)
        assert client.get("/api/v1/notifications").json()["items"] == []


def test_an_address_of_a_private_network_is_spoken_to_only_where_that_is_meant(hook: Hook) -> None:
    told = message("webhook", About("1", CHANGE, 0.0))
    post(Receiver(hook.url, True, TLS), told)
    for url in (hook.url, hook.url.replace("127.0.0.1", "localhost"), "http://169.254.169.254/x"):
        with pytest.raises(RefusedError, match="private: true"):
            post(Receiver(url, False, TLS), told)
    assert len(hook.got) == 1


@pytest.mark.parametrize(
    ("kind", "address", "asked"),
    [
        ("webhook", "", "/"),
        ("webhook", "/hook/", "/hook/"),
        ("webhook", "?key=1", "/?key=1"),
        ("webhook", "/?key=1", "/?key=1"),
        ("alertmanager", "/one/", "/one/api/v2/alerts"),
    ],
)
def test_an_address_is_asked_for_as_it_is_set(
    hook: Hook, kind: Kind, address: str, asked: str
) -> None:
    url = hook.url.removesuffix("/hook") + address
    post(Receiver(url, True, TLS), message(kind, About("1", CHANGE, 0.0)))
    (got,) = hook.wait(1)
    assert got.path == asked


def test_no_redirect_is_followed(hook: Hook) -> None:
    with receiving() as elsewhere:
        hook.answers, hook.headers = [302], {"Location": elsewhere.url}
        with pytest.raises(RefusedError, match="302"):
            post(Receiver(hook.url, True, TLS), message("webhook", About("1", CHANGE, 0.0)))
        assert elsewhere.got == []


def test_the_receivers_own_time_to_wait_is_kept(hook: Hook) -> None:
    hook.answers, hook.headers = [429], {"Retry-After": "7"}
    with pytest.raises(AwayError) as away:
        post(Receiver(hook.url, True, TLS), message("webhook", About("1", CHANGE, 0.0)))
    assert away.value.seconds == 7.0


def test_a_receiver_whose_certificate_nobody_knows_is_not_spoken_to_and_asked_again(
    tmp_path: Path,
) -> None:
    """It may have a right one by then."""
    made, told = self_signed(tmp_path), message("webhook", About("1", CHANGE, 0.0))
    with receiving(made.whole) as hook:
        with pytest.raises(AwayError, match=r"no answer: .*CERTIFICATE_VERIFY_FAILED"):
            post(Receiver(hook.url, True, TLS), told)
        assert hook.got == []
        post(Receiver(hook.url, True, ssl.create_default_context(cafile=made.authority)), told)
        assert len(hook.wait(1)) == 1


def test_a_receivers_address_and_key_are_not_told() -> None:
    """A traceback may show what a function was given."""
    receiver = Receiver(url := "https://example.com/secret", False, TLS, url)
    assert "secret" not in repr(receiver)
    assert "secret" not in repr(Sending("hook", "slack", receiver, None))
    assert "secret" not in repr(About("1", CHANGE, 0.0, secret=url))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("no: /hook/T0/B+0", "no: …"),
        (r'{"path": "\/hook\/T0\/B+0"}', '{"path": "…"}'),
        ("%2Fhook%2FT0%2FB%2B0?", "…?"),
        ('Authorization: GenieKey a"key/1', "Authorization: GenieKey …"),
        (r'{"routing_key": "a\"key\/1"}', '{"routing_key": "…"}'),
    ],
)
def test_what_a_receiver_repeats_of_its_address_and_key_is_not_told(
    hook: Hook, said: str, told: str
) -> None:
    hook.answers, hook.said = [400], said.encode()
    receiver = Receiver(f"{hook.url}/T0/B+0", True, TLS, 'a"key/1')
    with pytest.raises(RefusedError) as refused:
        post(receiver, message("webhook", About("1", CHANGE, 0.0)))
    assert str(refused.value) == f"it answered 400: {told}"


def test_each_kind_is_sent_what_it_takes() -> None:
    opened = About("n", CHANGE, 1.7e9, "https://w/#/e", SECRET)
    closed = About("n", CLOSED, 1.7e9, "https://w/#/e", SECRET)

    (alert,) = json.loads(message("alertmanager", opened).body)
    (over,) = json.loads(message("alertmanager", closed).body)
    assert message("alertmanager", opened).path == "/api/v2/alerts"
    assert alert["labels"] == over["labels"]
    assert alert["endsAt"] > over["endsAt"] == "2023-11-14T22:13:20Z"

    slack = json.loads(message("slack", opened).body)["text"]
    assert "cpu &lt;0.98&gt; &amp; rising" in slack
    assert "<https://w/#/e|" in slack

    trigger = json.loads(message("pagerduty", opened).body)
    resolve = json.loads(message("pagerduty", closed).body)
    assert (trigger["event_action"], resolve["event_action"]) == ("trigger", "resolve")
    assert trigger["dedup_key"] == resolve["dedup_key"] == CHANGE["id"]
    assert (trigger["routing_key"], trigger["payload"]["severity"]) == (SECRET, "critical")

    alert = message("opsgenie", opened)
    assert alert.headers["Authorization"] == f"GenieKey {SECRET}"
    assert json.loads(alert.body)["priority"] == "P1"
    path = "/v2/alerts/default%3Alog%3A0%3A17/close?identifierType=alias"
    assert message("opsgenie", closed).path == path


def test_the_end_of_an_episode_that_is_ahead_of_our_clock_is_not_before_its_begin() -> None:
    """Alertmanager would refuse it."""
    ahead = parse_time(CHANGE["start"]) - 60.0
    (over,) = json.loads(message("alertmanager", About("n", CLOSED, ahead)).body)
    assert over["startsAt"] == over["endsAt"] == "2026-11-21T06:59:00Z"


@given(st.binary(min_size=1, max_size=64), st.text(max_size=20), st.binary(max_size=200))
def test_a_signature_is_of_every_byte(key: bytes, name: str, body: bytes) -> None:
    secret = base64.b64encode(key).decode()
    one = signature(secret, name, "1", body)
    assert one == signature(f"whsec_{secret}", name, "1", body)
    assert one != signature(secret, name, "1", body + b"!")


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ({}, "url"),
        ({"url": "ftp://x"}, "url"),
        ({"url": "https://x.example:99999"}, "url"),
        ({"url": "https://x.example", "kind": "opsgenie", "secret": "a\nb"}, "plain"),
        ({"url": "http://example.com"}, "TLS"),
        ({"kind": "pagerduty"}, "asks for a key"),
        ({"url": "https://x.example", "secret": "whsec_!"}, "base64"),
        ({"url": "https://x.example", "kind": "mail"}, "kind"),
        ({"url": "https://x.example", "adress": "x"}, "no such setting"),
        ({"url_file": "/nonexistent"}, "cannot be read"),
    ],
)
def test_a_receiver_that_cannot_be_is_refused(
    tmp_path: Path, to: dict[str, Any], said: str
) -> None:
    file = tmp_path / "w.json"
    file.write_text(json.dumps({"notify": {"x": to}}))
    with pytest.raises(SettingsError, match=said):
        load_settings(file)


def test_no_secret_is_said(tmp_path: Path, hook: Hook, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither an address nor a key: in no answer, no log and no error."""
    hook.answers = [500, 403]
    for service, client in notified(tmp_path, hook):
        send(client)
        wait_states(client, ["sent", "dead"])
        seen = client.get("/api/v1/notifications").text + client.get("/readyz?verbose").text
        seen += repr(service.settings)
    seen += "".join(capfd.readouterr())
    assert SECRET not in seen
    assert hook.url not in seen


def states(client: TestClient) -> list[str]:
    """The newest first."""
    return [one["state"] for one in client.get("/api/v1/notifications").json()["items"]]


def wait_states(client: TestClient, wanted: list[str]) -> None:
    wait_for(lambda: states(client) == wanted)


def wait_for(condition: Any) -> None:
    for _ in range(3000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it did not happen")
