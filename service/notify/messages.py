"""What each kind of receiver is sent about a change of an episode.

Sources: Standard Webhooks 1.0 for signatures; Alertmanager's API v2; PagerDuty's Events API v2;
Opsgenie's Alert API; Slack's incoming webhooks.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

import msgspec

from service.clock import format_time, parse_time

Kind = Literal["webhook", "alertmanager", "slack", "pagerduty", "opsgenie"]
Change = Mapping[str, Any]

ADDRESSES: dict[Kind, str] = {
    "pagerduty": "https://events.pagerduty.com/v2/enqueue",
    "opsgenie": "https://api.opsgenie.com",
}
"""Of services that have one for all."""
SECRET_PREFIX = "whsec_"  # noqa: S105 # nosec B105
SEEN_WITHIN_SECONDS = 7 * 86_400.0  # Alertmanager drops an alert that nobody ends by then
PAGERDUTY_SEVERITIES = {"minor": "warning", "major": "error", "critical": "critical"}
OPSGENIE_PRIORITIES = {"minor": "P4", "major": "P2", "critical": "P1"}
SIGNS = {"minor": "⚪", "major": "🟠", "critical": "🔴"}
LONGEST_SUMMARY = 1000


@dataclass(frozen=True, slots=True)
class Message:
    """A POST: what follows the receiver's address, and what goes with it."""

    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class About:
    """What is told: a change of an episode, under the name `id`, at `now` (Unix seconds); `link` is
    where people see it, None where that is not known. `secret` is the receiver's, if it has one."""

    id: str
    change: Change
    now: float
    link: str | None = None
    secret: str | None = field(default=None, repr=False)

    @property
    def closed(self) -> bool:
        return bool(self.change["state"] == "closed")

    @property
    def summary(self) -> str:
        """One line."""
        one = self.change
        what = "over" if self.closed else one["why"] or "goes on, and is worth another alarm"
        return f"{one['stream']}: {what} ({one['severity']}, score {one['score']:.2f})"[
            :LONGEST_SUMMARY
        ]


def message(kind: Kind, about: About) -> Message:
    return MESSAGES[kind](about)


def _webhook(about: About) -> Message:
    kind = f"episode.{about.change['change']}"
    data = {**about.change, "link": about.link}
    told = {"type": kind, "timestamp": format_time(about.now), "data": data}
    body, stamp = msgspec.json.encode(told), str(int(about.now))
    headers = {"webhook-id": about.id, "webhook-timestamp": stamp}
    if about.secret is not None:
        headers["webhook-signature"] = signature(about.secret, about.id, stamp, body)
    return Message("", body, headers)


def signature(secret: str, name: str, stamp: str, body: bytes) -> str:
    """Of Standard Webhooks: HMAC-SHA256 over id, timestamp and body. ValueError where the secret is
    not base64 behind `whsec_`."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    signed = hmac.digest(key, f"{name}.{stamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed).decode()}"


def _alertmanager(about: About) -> Message:
    one = about.change
    labels = {name: one[name] for name in ("detector", "stream")}
    alert = {
        # The severity may rise while it is open: as a label it would make another alert of it.
        "labels": {"alertname": "WakefulEpisode", "episode": one["id"], **labels},
        "annotations": {"summary": about.summary, "severity": one["severity"]},
        # Events may be ahead of our clock: what ends before it began is refused.
        "startsAt": format_time(min(parse_time(one["start"]), about.now)),
        "endsAt": format_time(about.now + (0.0 if about.closed else SEEN_WITHIN_SECONDS)),
        "generatorURL": about.link or "",
    }
    return Message("/api/v2/alerts", msgspec.json.encode([alert]))


def _slack(about: About) -> Message:
    text = about.summary.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    link = "" if about.link is None else f" <{about.link}|Look at it>"
    sign = "✅" if about.closed else SIGNS[about.change["severity"]]
    return Message("", msgspec.json.encode({"text": f"{sign} {text}{link}"}))


def _pagerduty(about: About) -> Message:
    one = about.change
    event: dict[str, Any] = {
        "routing_key": about.secret,
        "event_action": "resolve" if about.closed else "trigger",
        "dedup_key": one["id"][-255:],
    }
    if not about.closed:
        event["payload"] = {
            "summary": about.summary,
            "source": one["stream"],
            "severity": PAGERDUTY_SEVERITIES[one["severity"]],
            "timestamp": one["start"],
            "component": one["detector"],
            "custom_details": dict(one),
        }
        event["links"] = [{"href": about.link, "text": "Wakeful"}] if about.link else []
    return Message("", msgspec.json.encode(event))


def _opsgenie(about: About) -> Message:
    one, alias = about.change, about.change["id"][-512:]
    headers = {"Authorization": f"GenieKey {about.secret}"}
    if about.closed:
        path = f"/v2/alerts/{quote(alias, safe='')}/close?identifierType=alias"
        return Message(path, msgspec.json.encode({"source": "Wakeful"}), headers)
    alert = {
        "message": about.summary[:130],
        "alias": alias,
        "description": f"{about.summary}\n{about.link or ''}",
        "priority": OPSGENIE_PRIORITIES[one["severity"]],
        "source": "Wakeful",
        "tags": [one["detector"], one["severity"]],
        "details": {"stream": one["stream"], "start": one["start"]},
    }
    return Message("/v2/alerts", msgspec.json.encode(alert), headers)


MESSAGES: dict[Kind, Callable[[About], Message]] = {
    "webhook": _webhook,
    "alertmanager": _alertmanager,
    "slack": _slack,
    "pagerduty": _pagerduty,
    "opsgenie": _opsgenie,
}
