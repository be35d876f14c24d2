"""A receiver of notifications."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator

from service.notify.messages import ADDRESSES, signature
from service.settings.section import Section, is_address, secret_of


class NotifySettings(Section):
    kind: Literal["webhook", "alertmanager", "slack", "pagerduty", "opsgenie"] = Field(
        "webhook",
        description="What is sent: `webhook` (Standard Webhooks), `alertmanager`, `slack`, `pagerduty` or `opsgenie`.",
    )
    url: SecretStr | None = Field(
        None,
        description="Where to; for PagerDuty and Opsgenie their own, if not set. Of Alertmanager its root.",
    )
    url_file: Path | None = Field(None, description="File that holds it: Slack's is a secret.")
    secret: SecretStr | None = Field(
        None,
        description="A webhook's signing key (`whsec_…`), PagerDuty's routing key, Opsgenie's API key. Better kept in a file: `secret_file`.",
    )
    secret_file: Path | None = Field(None, description="File that holds it.")
    detectors: list[str] = Field([], description="Whose episodes; empty: all.")
    streams: str = Field(
        "*", min_length=1, max_length=200, description="Of which streams: `*`, `?`."
    )
    least_severity: Literal["minor", "major", "critical"] = Field(
        "minor", description="Episodes less severe are not told."
    )
    closed: bool = Field(True, description="Whether the end of an episode is told too.")
    private: bool = Field(
        False,
        description="Whether the address may be in a private network, and without TLS; else it is refused.",
    )

    @model_validator(mode="after")
    def _whole(self) -> "NotifySettings":
        address, key = self.address(), self.key()
        if self.kind in ("pagerduty", "opsgenie") and key is None:
            raise ValueError(f"secret_file: {self.kind} asks for a key")
        if not is_address(address):
            raise ValueError("url: an address such as https://example.com/hook is needed")
        if key is not None and not (key.isascii() and key.isprintable()):
            raise ValueError("secret_file: one line of plain characters is needed")
        if address.startswith("http://") and not self.private:
            raise ValueError(
                "url: without TLS only in a private network: set private, or use https"
            )
        if self.kind == "webhook" and key is not None:
            try:
                signature(key, "", "", b"")
            except ValueError:
                raise ValueError("secret: whsec_ and base64 behind it") from None
        return self

    def address(self) -> str:
        return secret_of("url_file", self.url_file, self.url) or ADDRESSES.get(self.kind, "")

    def key(self) -> str | None:
        return secret_of("secret_file", self.secret_file, self.secret)
