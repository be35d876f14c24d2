"""A client of the REST API: `.venv/bin/pip install -e '.[client]'`.

>>> from service.client import Client
>>> with Client("http://127.0.0.1:8080") as wakeful:  # doctest: +SKIP
...     wakeful.send([{"stream": "web-1", "cpu": 0.42}])
...     for episode in wakeful.episodes(state="open"):
...         print(episode["stream"], episode["why"])
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self
from urllib.parse import quote

import httpx2

PAGE = 1000
API = "/api/v1"
SILENCE_SECONDS = 30.0  # after which a live connection is taken for lost; it speaks each second


class ApiError(Exception):
    """The service refused: `status` is HTTP's, the message says what is wrong and where."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail


class Client:
    """One service. Bodies come as dicts, as OpenAPI describes them; ApiError where it refuses, and
    httpx2's own errors where it does not answer. `http`: a client to use in place of a new one.
    """

    def __init__(
        self,
        address: str = "http://127.0.0.1:8080",
        token: str | None = None,
        timeout_seconds: float = 30.0,
        http: httpx2.Client | None = None,
    ) -> None:
        self._http = http or httpx2.Client(base_url=address, timeout=timeout_seconds)
        if token is not None:
            self._http.headers["authorization"] = f"Bearer {token}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def send(
        self, events: Iterable[Mapping[str, Any]], detector: str | None = None, scores: bool = False
    ) -> dict[str, Any]:
        """Have events scored; with `scores` wait for the results, one an event."""
        lines = "\n".join(json.dumps(event, allow_nan=False) for event in events)
        return self._ask(
            "POST", "/events", {"detector": detector, "scores": scores or None},
            content=lines.encode(), headers={"content-type": "application/x-ndjson"},
        )  # fmt: skip

    def streams(self, **query: Any) -> Iterator[dict[str, Any]]:
        """All streams by name, or with `sort="score"` or `search` the first `limit`."""
        return self._all("/streams", query)

    def stream(self, name: str, detector: str | None = None) -> dict[str, Any]:
        """What a stream is remembered by."""
        return self._ask("GET", f"/streams/{quote(name, safe='')}", {"detector": detector})

    def scores(self, name: str, **query: Any) -> dict[str, Any]:
        """What a stream was like, as columns; see `start`, `end` and `points`."""
        return self._ask("GET", f"/streams/{quote(name, safe='')}/scores", query)

    def gates(self, name: str, **query: Any) -> dict[str, Any]:
        """What its memory kept, let in and told, as columns; see `feature`, `start` and `end`."""
        return self._ask("GET", f"/streams/{quote(name, safe='')}/gates", query)

    def reset(self, name: str, detector: str | None = None) -> dict[str, Any]:
        """Let a stream begin anew."""
        return self._ask("POST", f"/streams/{quote(name, safe='')}/reset", {"detector": detector})

    def rewind(self, name: str, time: str, detector: str | None = None) -> dict[str, Any]:
        """Let a stream go on from what it was remembered by before a time."""
        path = f"/streams/{quote(name, safe='')}/rewind"
        return self._ask("POST", path, {"detector": detector}, json={"time": time})

    def episodes(self, **query: Any) -> Iterator[dict[str, Any]]:
        """All that are asked for, the newest first."""
        return self._all("/episodes", query)

    def anomalies(self, **query: Any) -> Iterator[dict[str, Any]]:
        """All that are asked for, the newest first."""
        return self._all("/anomalies", query)

    def why(self, anomaly: str) -> dict[str, Any]:
        """What would have been normal in its place, and when its stream was like this before."""
        return self._ask("GET", f"/anomalies/{quote(anomaly, safe='')}/why", {})

    def remark(
        self, episode: str, acknowledged: bool | None = None, note: str | None = None
    ) -> dict[str, Any]:
        """Acknowledge an episode, or note something; what is None stays as it was, an empty note
        takes it away."""
        given = {"acknowledged": acknowledged, "note": note}
        body = {name: value for name, value in given.items() if value is not None}
        return self._ask("PATCH", f"/episodes/{quote(episode, safe=':')}", {}, json=body)

    def say(
        self, stream: str, kind: str, detector: str | None = None, **event: Any
    ) -> dict[str, Any]:
        """Feedback: `"false"` with `episode`, or `"missed"` with `time`."""
        path = f"/streams/{quote(stream, safe='')}/feedback"
        return self._ask("POST", path, {"detector": detector}, json={"kind": kind, **event})

    def take_back(self, stream: str, number: str, detector: str | None = None) -> dict[str, Any]:
        """Feedback, by its id."""
        path = f"/streams/{quote(stream, safe='')}/feedback/{number}"
        return self._ask("DELETE", path, {"detector": detector})

    def feedback(self, **query: Any) -> Iterator[dict[str, Any]]:
        """What was said, the newest first, also what was taken back."""
        return self._all("/feedback", query)

    def mute(self, **terms: Any) -> dict[str, Any]:
        """Let the anomalies of a `stream`, a `pattern`, or all alarm nobody."""
        return self._ask("POST", "/mutes", {}, json=terms)

    def unmute(self, name: str) -> dict[str, Any]:
        """Remove a mute, by its id."""
        return self._ask("DELETE", f"/mutes/{quote(name, safe='')}", {})

    def mutes(self, **query: Any) -> list[dict[str, Any]]:
        """All of them, or those that concern a `stream`, the newest first."""
        items: list[dict[str, Any]] = self._ask("GET", "/mutes", query)["items"]
        return items

    def dead_letters(self, **query: Any) -> Iterator[dict[str, Any]]:
        """Records that were rejected, the newest first."""
        return self._all("/dead-letters", query)

    def incidents(self, **query: Any) -> list[dict[str, Any]]:
        """Episodes that overlap, as one."""
        items: list[dict[str, Any]] = self._ask("GET", "/incidents", query)["items"]
        return items

    def now(self) -> dict[str, Any]:
        """How the instance is doing."""
        return self._ask("GET", "/now", {})

    def live(self, last_event_id: str | None = None) -> Iterator[tuple[str | None, str, Any]]:
        """What happens, as it happens: (id, name, body). Ends where the service does; an id is
        what to come back with."""
        headers = {} if last_event_id is None else {"last-event-id": last_event_id}
        with self._http.stream(
            "GET", f"{API}/live", headers=headers, timeout=SILENCE_SECONDS
        ) as reply:
            if reply.is_error:
                reply.read()
                raise _error(reply)
            event: dict[str, str] = {}
            for line in reply.iter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    event[name] = value
                elif event:
                    yield event.get("id"), event["event"], json.loads(event["data"])
                    event = {}

    def _all(self, path: str, query: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Page by page; a `limit` that is asked for is the end."""
        limit = query.get("limit")
        cursor = None
        while True:
            page = self._ask("GET", path, {"limit": PAGE, **query, "cursor": cursor})
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None or limit is not None:
                return

    def _ask(
        self, method: str, path: str, query: Mapping[str, Any], **content: Any
    ) -> dict[str, Any]:
        params = {name: value for name, value in query.items() if value is not None}
        reply = self._http.request(method, f"{API}{path}", params=params, **content)
        if reply.is_error:
            raise _error(reply)
        answer: dict[str, Any] = reply.json()
        return answer


def _error(reply: httpx2.Response) -> ApiError:
    try:
        detail = reply.json()["detail"]
    except (ValueError, KeyError, TypeError):  # a proxy's page, or none of ours
        detail = reply.text[:200]
    return ApiError(reply.status_code, str(detail))
