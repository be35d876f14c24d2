"""Who may do what: every route, every role, and nobody."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from service.api.access import COOKIE, role_of
from service.api.headers import ALWAYS
from service.bootstrap import Service, build_service, closed
from service.cli import main
from service.demo.presets import DATA
from service.errors import SettingsError
from service.keys import ROLES, Key, Keys, Role
from service.settings.loading import load_settings
from tests.service.parts import wave
from tests.service.test_api import NDJSON, running

API = "/api/v1"
OPEN = {("GET", p) for p in ("/livez", "/readyz", "/metrics", "/", "/docs")}
UNDESCRIBED = {("GET", "/"), ("GET", "/docs")}
OPEN |= {("POST", f"{API}/session"), ("DELETE", f"{API}/session")}
"""What anybody may ask for: it tells nothing of any stream."""
ASKS_FOR: dict[tuple[str, str], Role] = {
    ("POST", "/events"): "operator",
    ("POST", "/streams/{stream:path}/whatif"): "viewer",
    ("POST", "/streams/{stream:path}/reset"): "operator",
    ("POST", "/streams/{stream:path}/rewind"): "operator",
    ("POST", "/streams/{stream:path}/feedback"): "operator",
    ("DELETE", "/streams/{stream:path}/feedback/{number}"): "operator",
    ("GET", "/feedback"): "viewer",
    ("GET", "/streams/{stream:path}/scores"): "viewer",
    ("GET", "/streams/{stream:path}/gates"): "viewer",
    ("GET", "/heatmap"): "viewer",
    ("GET", "/streams"): "viewer",
    ("GET", "/streams/{stream:path}"): "viewer",
    ("GET", "/episodes"): "viewer",
    ("GET", "/episodes/{name:path}"): "viewer",
    ("PATCH", "/episodes/{name:path}"): "operator",
    ("GET", "/incidents"): "viewer",
    ("GET", "/anomalies"): "viewer",
    ("GET", "/anomalies/{name:path}"): "viewer",
    ("GET", "/anomalies/{name:path}/why"): "viewer",
    ("GET", "/dead-letters"): "viewer",
    ("GET", "/detectors"): "viewer",
    ("GET", "/detectors/{name}"): "viewer",
    ("GET", "/artifacts"): "viewer",
    ("GET", "/artifacts/{fingerprint}"): "viewer",
    ("GET", "/mutes"): "viewer",
    ("POST", "/mutes"): "operator",
    ("DELETE", "/mutes/{name}"): "operator",
    ("GET", "/notifications"): "viewer",
    ("POST", "/notifications/{number}/again"): "operator",
    ("GET", "/audit"): "admin",
    ("POST", "/reload"): "admin",
    ("GET", "/session"): "viewer",
    ("GET", "/now"): "viewer",
    ("GET", "/live"): "viewer",
}
ENDLESS = ("GET", "/live")


@dataclass
class Closed:
    """A service with a key of each kind."""

    service: Service
    client: TestClient
    keys: dict[str, str]

    def ask(self, method: str, path: str, key: str | None = None, **content: Any) -> Any:
        headers = {} if key is None else {"authorization": f"Bearer {self.keys[key]}"}
        headers |= content.pop("headers", {})
        return self.client.request(method, f"{API}{path}", headers=headers, **content)

    def get(self, path: str, key: str) -> Any:
        return self.ask("GET", path, key).json()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    folder = tmp_path_factory.mktemp("closed")
    keys = Keys(folder / "keys.json")
    shown: dict[str, str] = {r: keys.create(r, r, None, "", None) for r in ROLES}
    shown["a"] = keys.create("a", "operator", None, "a-", None)
    shown["a admin"] = keys.create("a admin", "admin", None, "a-", None)
    shown["other"] = keys.create("other", "operator", "other", "", None)
    shown["over"] = keys.create("over", "admin", None, "", time.time() - 1.0)
    shown["revoked"] = keys.create("revoked", "admin", None, "", None)
    keys.revoke(shown["revoked"].split("_")[1])
    shown["made up"] = f"{shown['admin'][:-1]}!"
    for service, client in running(folder, detectors={"default": {}, "other": {}}):
        made = Closed(service, client, shown)
        for stream in ("a-1", "b-1"):
            body = b"\n".join(wave(400, stream, spikes=[350]))
            reply = made.ask("POST", "/events?scores=true", "admin", content=body, headers=NDJSON)
            assert reply.status_code == 200
        yield made


def test_every_route_is_in_the_table(served: Closed) -> None:
    described = served.client.get("/openapi.json").json()["paths"]
    found = {(method.upper(), path) for path, methods in described.items() for method in methods}
    table = {(method, f"{API}{path.replace(':path', '')}") for method, path in ASKS_FOR}
    assert found == table | OPEN - UNDESCRIBED


@pytest.mark.parametrize("who", [None, *ROLES, "over", "revoked", "made up"])
@pytest.mark.parametrize("route", ASKS_FOR, ids=" ".join)
def test_a_route_lets_in_who_may(served: Closed, route: tuple[str, str], who: str | None) -> None:
    """By role, and nobody whose key does not count; what is let in is refused for other reasons."""
    method, path = route
    role = ASKS_FOR[route]
    assert role_of(method, path) == role
    known = who in ROLES
    may = known and ROLES.index(who) >= ROLES.index(role)
    if may and route == ENDLESS:
        return
    for part in ("{stream:path}", "{name:path}", "{name}", "{number}", "{fingerprint}"):
        path = path.replace(part, "nobody")
    status = served.ask(method, path, who).status_code
    assert status not in (401, 403) if may else status == (403 if known else 401)


def test_what_is_open_tells_nothing_of_streams(served: Closed) -> None:
    for method, path in OPEN - {("POST", f"{API}/session")}:
        reply = served.client.request(method, path, follow_redirects=False)
        assert reply.status_code in (200, 204, 307)
        assert "a-1" not in reply.text


def test_a_key_for_some_names_sees_those_alone(served: Closed) -> None:
    """Lists, single things and changes alike."""
    assert [s["stream"] for s in served.get("/streams", "a")["items"]] == ["a-1"]
    assert [s["stream"] for s in served.get("/streams?search=1", "a")["items"]] == ["a-1"]
    assert served.get("/streams?prefix=b", "a")["items"] == []
    assert [s["stream"] for s in served.get("/streams?prefix=a-1", "a")["items"]] == ["a-1"]
    for path in ("/anomalies", "/episodes"):
        assert {one["stream"] for one in served.get(path, "a")["items"]} == {"a-1"}
        assert {one["stream"] for one in served.get(path, "admin")["items"]} == {"a-1", "b-1"}
        for one in served.get(path, "admin")["items"]:
            for part in ("", "/why") if path == "/anomalies" else ("",):
                status = served.ask("GET", f"{path}/{one['id']}{part}", "a").status_code
                assert status == (200 if one["stream"] == "a-1" else 404)
    (incident,) = served.get("/incidents", "a")["items"]
    assert incident["streams"] == ["a-1"]
    for path in ("", "/scores", "/gates"):
        assert served.ask("GET", f"/streams/a-1{path}", "a").status_code == 200
        assert served.ask("GET", f"/streams/b-1{path}", "a").status_code == 403
    assert served.ask("GET", "/heatmap?stream=a-1&stream=b-1", "a").status_code == 403
    assert served.ask("GET", "/heatmap?stream=a-1", "a").status_code == 200
    for change in ("reset", "rewind", "feedback", "whatif"):
        assert served.ask("POST", f"/streams/b-1/{change}", "a", json={}).status_code == 403
    assert served.ask("POST", "/events", "a", json={"stream": "a-1", "value": 1}).status_code == 403
    assert served.ask("GET", "/dead-letters", "a").status_code == 403
    for method, path in (("GET", "/audit"), ("POST", "/reload")):
        assert served.ask(method, path, "a admin").status_code == 403


def test_a_key_for_some_names_mutes_those_alone(served: Closed) -> None:
    every = served.ask("POST", "/mutes", "admin", json={"pattern": "b-*"}).json()
    for refused in ({}, {"pattern": "*"}, {"pattern": "a*"}, {"stream": "b-1"}, {"pattern": "?-1"}):
        assert served.ask("POST", "/mutes", "a", json=refused).status_code == 403
    made = served.ask("POST", "/mutes", "a", json={"pattern": "a-*"})
    assert made.status_code == 201
    assert [m["id"] for m in served.get("/mutes", "a")["items"]] == [made.json()["id"]]
    assert served.ask("DELETE", f"/mutes/{every['id']}", "a").status_code == 404
    for one, key in ((made.json(), "a"), (every, "admin")):
        assert served.ask("DELETE", f"/mutes/{one['id']}", key).status_code == 200


def test_a_key_is_told_whatever_mutes_a_stream_of_its_own(served: Closed) -> None:
    """Also a mute of more than its streams, which it can neither list otherwise nor remove."""
    made = [
        served.ask("POST", "/mutes", "admin", json=mute).json()["id"]
        for mute in ({"pattern": "*"}, {"pattern": "*", "detector": "default"}, {"pattern": "b-*"})
    ]
    every, of_default, _ = made

    def listed(query: str, key: str) -> set[str]:
        return {one["id"] for one in served.get(f"/mutes{query}", key)["items"]}

    assert listed("?stream=a-1&detector=default", "a") == {every, of_default}
    assert listed("?stream=a-1", "other") == {every}
    assert listed("?stream=a-1&detector=default", "other") == set()
    assert listed("?stream=b-1", "a") == listed("", "a") == listed("", "other") == set()
    assert served.ask("DELETE", f"/mutes/{every}", "a").status_code == 404
    for name in made:
        assert served.ask("DELETE", f"/mutes/{name}", "admin").status_code == 200


def test_a_key_for_a_detector_is_told_of_no_others_artifact(tmp_path: Path) -> None:
    shown = {name: Keys(tmp_path / "keys.json").create(name, "viewer", only, "", None)
             for name, only in (("all", None), ("default", "default"))}  # fmt: skip
    cards = {"artifact": DATA / "transactions" / "artifact"}
    for service, client in running(tmp_path, detectors={"default": {}, "cards": cards}):
        served = Closed(service, client, shown)
        own = {name: served.get("/artifacts", name)["items"] for name in shown}
        assert [one["detectors"] for one in own["all"]] == [["default"], [], ["cards"]]
        assert own["default"] == own["all"][:2]
        (_, _, others) = own["all"]
        for name, status in (("all", 200), ("default", 404)):
            path = f"/artifacts/{others['fingerprint']}"
            assert served.ask("GET", path, name).status_code == status


def test_feedback_is_listed_to_whom_it_concerns(served: Closed) -> None:
    (episode,) = served.get("/episodes?stream=b-1", "operator")["items"]
    said = {"kind": "false", "episode": episode["id"]}
    made = served.ask("POST", "/streams/b-1/feedback", "operator", json=said).json()
    assert served.get("/feedback", "a")["items"] == []
    assert [one["id"] for one in served.get("/feedback", "viewer")["items"]] == [made["id"]]


def test_a_key_for_a_detector_sees_that_alone(served: Closed) -> None:
    assert served.get("/anomalies", "other")["items"] == []
    assert served.ask("GET", "/anomalies?detector=default", "other").status_code == 403
    assert served.ask("GET", "/streams/a-1", "other").status_code == 403
    assert served.ask("GET", "/streams/a-1?detector=other", "other").status_code == 404
    event = {"stream": "x", "value": 1}
    reply = served.ask("POST", "/events?scores=true", "other", json=event)
    assert reply.json()["accepted"] == 1
    assert [s["stream"] for s in served.get("/streams", "other")["items"]] == ["x"]


def test_what_is_counted_is_of_the_keys_streams(served: Closed) -> None:
    """`/now` and `/detectors`: of its detector, and of its names or not at all."""
    body = b"\n".join(wave(400, "b-2", spikes=[399]))
    served.ask("POST", "/events?scores=true", "admin", content=body, headers=NDJSON)
    whole, named, other = (served.get("/now", key) for key in ("admin", "a", "other"))
    assert (whole["open_episodes"], named["open_episodes"], other["open_episodes"]) == (1, 0, 0)
    assert (named["streams"], named["event_time"]) == (None, None)
    assert whole["event_time"] >= 1.7e9 + 60 * 399
    assert [one["alarms_per_stream_week"] for one in named["detectors"]] == [None, None]
    assert [one["name"] for one in other["detectors"]] == ["other"]
    assert other["streams"] < whole["streams"]
    assert [one["streams"] for one in served.get("/detectors", "a")["items"]] == [None, None]
    assert [one["name"] for one in served.get("/detectors", "other")["items"]] == ["other"]
    assert served.ask("GET", "/detectors/default", "other").status_code == 403


def test_each_change_is_audited(served: Closed) -> None:
    """Who, what, before and after; in the order in which it was; a refused one is no change."""
    (episode,) = served.get("/episodes?stream=a-1", "a")["items"]
    path = f"/episodes/{episode['id']}"
    served.ask("PATCH", path, "viewer", json={"acknowledged": True})
    served.ask("PATCH", path, "a", json={"acknowledged": True, "note": "a test"})
    mute = served.ask("POST", "/mutes", "admin", json={"stream": "q"}).json()
    served.ask("DELETE", f"/mutes/{mute['id']}", "admin")
    served.ask("POST", "/streams/a-1/reset", "operator")
    found = served.get("/audit?limit=4", "admin")["items"]
    assert [(one["what"], one["who"].split()[1]) for one in found] == [
        ("reset", "operator"),
        ("unmute", "admin"),
        ("mute", "admin"),
        ("remark", "a"),
    ]
    remark = found[3]
    assert (remark["of"], remark["after"]) == (
        episode["id"],
        {"acknowledged": True, "note": "a test"},
    )
    assert remark["before"] == {"acknowledged": False, "note": None}
    assert found[0]["before"]["stream"] == "a-1"
    assert not any(served.keys["admin"] in str(one) for one in found)


def test_a_session_is_a_cookie_that_only_our_own_page_sends(served: Closed) -> None:
    with TestClient(served.client.app, "http://127.0.0.1") as browser:
        assert browser.post(f"{API}/session", json={"key": "wrong"}).status_code == 401
        foreign = {"origin": "http://evil.example"}
        key = {"key": served.keys["operator"]}
        assert browser.post(f"{API}/session", json=key, headers=foreign).status_code == 403
        reply = browser.post(f"{API}/session", json=key)
        assert (reply.status_code, reply.json()["role"]) == (200, "operator")
        cookie = reply.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert browser.get(f"{API}/session").json()["name"] == "operator"
        mute, ours = {"stream": "z", "id": "z"}, {"origin": "http://127.0.0.1"}
        refused = [{}, foreign, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}]
        for headers in refused:
            assert browser.post(f"{API}/mutes", json=mute, headers=headers).status_code == 403
        assert browser.post(f"{API}/mutes", json=mute, headers=ours).status_code == 201
        assert browser.delete(f"{API}/mutes/z", headers=ours).status_code == 200
        browser.delete(f"{API}/session", headers=ours)
        assert COOKIE not in browser.cookies
        assert browser.get(f"{API}/session").status_code == 401


def test_a_revoked_key_counts_no_more_at_once(tmp_path: Path) -> None:
    for service, client in running(tmp_path):
        assert client.get(f"{API}/now").status_code == 200, "without any key loopback is open"
        made = CliRunner().invoke(main, ["keys", "create", "me", "--data-dir", str(tmp_path)])
        headers = {"authorization": f"Bearer {made.stdout.strip()}"}
        assert client.get(f"{API}/now").status_code == 401
        assert client.get(f"{API}/now", headers=headers).status_code == 200
        listed = CliRunner().invoke(main, ["keys", "list", "--data-dir", str(tmp_path)]).output
        identity = listed.split()[0]
        assert made.stdout.strip() not in listed
        assert "viewer" in listed
        second = service.keys.create("other", "viewer", None, "", None)
        done = CliRunner().invoke(main, ["keys", "revoke", identity, "--data-dir", str(tmp_path)])
        assert done.exit_code == 0
        assert client.get(f"{API}/now", headers=headers).status_code == 401
        headers = {"authorization": f"Bearer {second}"}
        assert client.get(f"{API}/now", headers=headers).status_code == 200
        service.keys.revoke(second.split("_")[1])
        assert client.get(f"{API}/now", headers=headers).status_code == 401
        assert client.get(f"{API}/now").status_code == 401, "without its last key it stays closed"
    assert closed(load_settings(None, {"data_dir": tmp_path})).asked_for, "also after a restart"
    again = CliRunner().invoke(main, ["keys", "revoke", identity, "--data-dir", str(tmp_path)])
    assert (again.exit_code, "no key" in again.output) == (1, True)


def test_on_the_network_it_asks_for_a_key_or_does_not_start(tmp_path: Path) -> None:
    settings = load_settings(None, {"data_dir": tmp_path, "api": {"host": "0.0.0.0"}})  # noqa: S104
    for refuse in (closed, build_service):
        with pytest.raises(SettingsError, match="keys create"):
            refuse(settings)
    assert not (tmp_path / "wakeful.db").exists()
    Keys(settings.keys_file()).create("me", "admin", None, "", None)
    keys = closed(settings)
    (made,) = keys.all()
    keys.revoke(made.id)
    assert keys.asked_for, "without its last key it stays closed"


def test_a_key_is_kept_as_its_hash_and_for_its_owner_alone(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys.json")
    made = keys.create("me", "admin", None, "", None)
    file = tmp_path / "keys.json"
    assert file.stat().st_mode & 0o077 == 0
    assert made.split("_")[2] not in file.read_text()
    assert (found := keys.find(made)) is not None
    assert found.name == "me"


def test_keys_made_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as many:
        made = [
            many.submit(Keys(tmp_path / "k.json").create, f"{n}", "viewer", None, "", None)
            for n in range(24)
        ]
    keys = Keys(tmp_path / "k.json")
    assert len(keys.all()) == 24
    assert all(keys.find(one.result()) is not None for one in made)


def test_a_damaged_file_of_keys_lets_nobody_in(tmp_path: Path) -> None:
    for _, client in running(tmp_path):
        (tmp_path / "keys.json").write_text("[{}]")
        assert client.get(f"{API}/now").status_code == 503


@settings(max_examples=200)
@given(st.text(max_size=40), st.text(max_size=40))
def test_a_scope_is_a_beginning(prefix: str, stream: str) -> None:
    key = Key(id="1", name="n", role="viewer", prefix=prefix, made=0.0, sha256="")
    assert key.sees("default", stream) == (stream[: len(prefix)] == prefix)


@settings(max_examples=200)
@given(st.text(max_size=80))
def test_no_text_is_a_key(shown: str) -> None:
    assert NOBODYS.find(shown) is None


NOBODYS = Keys(Path("/nonexistent/keys.json"), token="the-token")  # noqa: S106 - of this test


def test_every_answer_has_the_headers_of_a_closed_door(served: Closed) -> None:
    for path in ("/", "/web/app.js", "/livez", f"{API}/now", f"{API}/none", "/openapi.json"):
        headers = served.client.get(path).headers
        assert {name: headers.get(name) for name in ALWAYS} == ALWAYS
        assert "'unsafe-inline'" not in headers["content-security-policy"]
        assert "server" not in headers
    refused = served.client.get(f"{API}/now")
    assert refused.headers["cache-control"] == "no-store"


def test_one_client_is_bounded_and_probes_are_not(tmp_path: Path) -> None:
    for _, client in running(tmp_path, api={"max_requests_per_second": 2}):
        found = [client.get(f"{API}/artifacts/none").status_code for _ in range(20)]
        assert found[:4] == [404] * 4
        refused = client.get(f"{API}/artifacts/none")
        assert 429 in found
        if refused.status_code == 429:
            assert int(refused.headers["retry-after"]) >= 1
        assert {client.get("/livez").status_code for _ in range(20)} == {200}


def test_a_body_is_bounded_wherever_it_is_sent(tmp_path: Path) -> None:
    for _, client in running(tmp_path, api={"max_body_bytes": 1000}):
        note = {"note": "x" * 2000}
        for method, path in (("POST", "/events"), ("POST", "/mutes"), ("PATCH", "/episodes/none")):
            reply = client.request(method, f"{API}{path}", json=note)
            assert (reply.status_code, "than 1000" in reply.json()["detail"]) == (413, True)


def test_who_shows_no_key_has_nothing_large_read(served: Closed) -> None:
    """It would be read before anybody asks who they are; events are read after."""
    large = {"key": "x" * 100_000}
    for path, status in (("/session", 413), ("/mutes", 413), ("/events", 401)):
        assert served.ask("POST", path, json=large).status_code == status
    spaces = b" " * 100_000
    assert served.ask("POST", "/events", "operator", content=spaces).status_code != 413
