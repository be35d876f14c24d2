"""The API: where it listens, who may ask, and how much."""

from pathlib import Path

from pydantic import Field, SecretStr, model_validator

from service.settings.section import Section, secret_of

LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class ApiSettings(Section):
    host: str = Field(
        "127.0.0.1",
        description="Address to listen on. Any other than loopback asks for a key, see `wakeful keys`.",
    )
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    advertise: str | None = Field(
        None,
        pattern=r"^https?://[^\s/]+$",
        description="Where other instances of the group reach this one's API, such as `http://10.0.0.7:8080`; not set: its host and port.",
    )
    keys_file: Path | None = Field(
        None,
        description="File of the keys that `wakeful keys` makes, hashed, which instances may share; not set: `keys.json` in `data_dir`.",
    )
    public_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s]+$",
        description="Where people find the page, for links in notifications; not set: none.",
    )
    token: SecretStr | None = Field(
        None,
        description="One more key, an admin's, such as a deployment makes. Better kept in a file: `api.token_file`.",
    )
    token_file: Path | None = Field(None, description="File that holds this key.")
    max_body_bytes: int = Field(
        16 * 2**20, gt=0, description="Largest request body; a larger one is refused with 413."
    )
    max_requests_per_second: float = Field(
        500.0,
        gt=0,
        description="Of one address, other than loopback; more are refused with 429. Probes and metrics do not count.",
    )
    trusted_proxies: list[str] = Field(
        [],
        description="Addresses or networks of proxies in front, whose `X-Forwarded-For` and `X-Forwarded-Proto` say who asks.",
    )
    max_connections: int = Field(
        1000,
        gt=0,
        description="Open at the same time, half of them from one address at most, loopback apart; more are refused.",
    )
    tls_cert_file: Path | None = Field(
        None, description="PEM file of the certificate and its chain; set with the next: HTTPS."
    )
    tls_key_file: Path | None = Field(None, description="PEM file of its private key.")
    tls_ca_file: Path | None = Field(
        None,
        description="PEM file of the authority by which other instances are known; not set: the system's.",
    )
    max_events_per_request: int = Field(
        20_000, gt=0, description="Most events in one request; more are refused with 413."
    )
    score_timeout_seconds: float = Field(
        30.0, gt=0, description="How long `?scores=true` waits for the scores."
    )

    @model_validator(mode="after")
    def _readable(self) -> "ApiSettings":
        self.secret()
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_cert_file and tls_key_file go together")
        for name in ("tls_cert_file", "tls_key_file", "tls_ca_file"):
            file: Path | None = getattr(self, name)
            if file is not None and not file.is_file():
                raise ValueError(f"{name}: {file} is not there")
        return self

    def secret(self) -> str | None:
        """The fixed key, or None where there is none."""
        return secret_of("api.token_file", self.token_file, self.token)
