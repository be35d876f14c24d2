"""Kafka's options: the names that users know, what goes together, and where secrets come from."""

import json
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from kafka import KafkaConsumer
from kafka.errors import SaslAuthenticationFailedError

from service.errors import SettingsError
from service.kafka.options import check_options, client_options
from service.kafka.tokens import Credentials, Tokens

SCRAM = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "SCRAM-SHA-512"}
BEARER = {"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER"}
URL = "sasl.oauthbearer.token.endpoint.url"


def test_options_are_taken_by_the_names_that_users_know(tmp_path: Path) -> None:
    known = client_options(
        {
            "security.protocol": "sasl_ssl", "sasl.mechanisms": "PLAIN", "sasl.username": "u",
            "sasl.password": "p", "ssl.ca.location": "ca", "ssl.certificate.location": "c",
            "ssl.key.location": "k", "ssl_cafile": "ca", "fetch.min.bytes": 5, "linger.ms": 1,
        },
        KafkaConsumer.DEFAULT_CONFIG,
    )  # fmt: skip
    del known["kafka_client"]
    assert known == {
        "security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_plain_username": "u",
        "sasl_plain_password": "p", "ssl_cafile": "ca", "ssl_certfile": "c", "ssl_keyfile": "k",
        "fetch_min_bytes": 5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sasl.mechanism": "PLAIN"}, "does not go with security.protocol PLAINTEXT"),
        ({"security.protocol": "SASL_SSL"}, "sasl.mechanism not set does not go with"),
        ({"security.protocol": "TLS"}, "is none of PLAINTEXT, SSL"),
        (SCRAM, "SCRAM-SHA-512 needs sasl.username"),
        ({**SCRAM, "sasl.username": "u"}, "needs sasl.password.file"),
        ({**SCRAM, "sasl.username": "u", "sasl.password.file": "/none/x"}, "/none/x"),
        ({"ssl.ca.location": "ca.pem"}, "nothing is encrypted"),
        ({"security.protocol": "SSL", "ssl.ca.location": "/none/ca.pem"}, "/none/ca.pem"),
        ({"sasl.jaas.config": "…"}, "instead there is sasl.username"),
        ({"ssl.truststore.location": "x.jks"}, "instead there is ssl.ca.location"),
        (BEARER, f"OAUTHBEARER needs {URL}"),
        ({**BEARER, URL: "https://idp.example/token"}, "sasl.oauthbearer.client.id"),
        ({**BEARER, URL: "http://idp.example/token"}, "https://"),
    ],
)
def test_what_does_not_go_together_is_said(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=r"^kafka\.options: ") as error:
        check_options(options)
    assert words in str(error.value)


def test_a_token_comes_from_a_file_as_it_is_now(tmp_path: Path) -> None:
    file = tmp_path / "a token"
    tokens = Tokens(file.as_uri(), Credentials(None, str, None))
    file.write_text("one\n", encoding="utf-8")
    assert tokens.token() == "one"
    file.write_text("two", encoding="utf-8")
    assert tokens.token() == "two"


def test_a_token_comes_from_an_endpoint_and_is_used_until_it_ages() -> None:
    with endpoint("s&cret") as (url, asked):
        tokens = Tokens(url, Credentials("me", lambda: "s&cret", "events"))
        assert [tokens.token(), tokens.token()] == ["token-1", "token-1"]
        other = Tokens(f"{url}?old", Credentials("me", lambda: "s&cret", None))
        assert [other.token(), other.token()] == ["token-2", "token-3"]
    assert asked[0] == "grant_type=client_credentials&scope=events"


def test_a_secret_that_is_refused_is_not_in_the_words() -> None:
    with endpoint("right") as (url, _):
        with pytest.raises(SaslAuthenticationFailedError, match="401") as error:
            Tokens(url, Credentials("me", lambda: "wr0ng", None)).token()
        assert "wr0ng" not in str(error.value)


@contextmanager
def endpoint(secret: str) -> Iterator[tuple[str, list[str]]]:
    """A token endpoint, and what it was asked."""

    right = b64encode(f"me:{quote(secret, safe='')}".encode()).decode()
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            welcome = self.headers["Authorization"] == f"Basic {right}"
            life = 0 if self.path.endswith("?old") else 60
            body = {"access_token": f"token-{len(asked)}", "expires_in": life}
            self.send_response(200 if welcome else 401)
            self.end_headers()
            self.wfile.write(json.dumps(body if welcome else {}).encode())

        def log_message(self, *args: object) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/token", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
