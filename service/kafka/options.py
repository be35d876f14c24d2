"""Kafka's own options, by the names that users know, as the client takes them."""

from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kafka import KafkaConsumer, KafkaProducer
from kafka.net.transport import KafkaSSLTransport

from service.errors import SettingsError
from service.kafka.connections import Client
from service.kafka.tokens import Credentials, Tokens

OURS = {
    "bootstrap.servers": "kafka.bootstrap_servers",
    "group.id": "kafka.group_id",
    "acks": "nothing: every message is acknowledged by all",
    "retries": "nothing: messages are written together or not at all",
    "delivery.timeout.ms": "nothing: messages are written together or not at all",
    "enable.idempotence": "nothing: messages are written in transactions",
    "transactional.id": "nothing: it derives from the group's and the member's name",
    "transaction.timeout.ms": "nothing: it goes with how long the end of one is waited for",
    "partition.assignment.strategy": "nothing: memories need the cooperative one",
    "max.poll.records": "limits.max_batch_events",
    "enable.auto.commit": "nothing: offsets are committed with the memories",
    "isolation.level": "nothing: only committed records are scored",
}
"""Kafka's options that the service sets itself, and what to use instead."""

SPELT = {
    "sasl.mechanisms": "sasl_mechanism",
    "sasl.username": "sasl_plain_username",
    "sasl.password": "sasl_plain_password",
    "ssl.ca.location": "ssl_cafile",
    "ssl.certificate.location": "ssl_certfile",
    "ssl.key.location": "ssl_keyfile",
    "ssl.key.password": "ssl_password",
    "ssl.crl.location": "ssl_crlfile",
}
"""librdkafka's names, as our client spells them; what both call the same is not here."""

JAVA = {
    "sasl.jaas.config": "sasl.username and sasl.password.file",
    "ssl.truststore.location": "ssl.ca.location, a PEM file",
    "ssl.truststore.type": "ssl.ca.location, a PEM file",
    "ssl.truststore.password": "ssl.ca.location, a PEM file, which has none",
    "ssl.truststore.certificates": "ssl.ca.location, a PEM file",
    "ssl.keystore.location": "ssl.certificate.location and ssl.key.location, PEM files",
    "ssl.keystore.type": "ssl.certificate.location and ssl.key.location, PEM files",
    "ssl.keystore.password": "ssl.key.password.file",
    "ssl.endpoint.identification.algorithm": "ssl.check.hostname, true or false",
    "sasl.login.callback.handler.class": "sasl.oauthbearer.token.endpoint.url",
}
"""Java's options that there is another word for."""

URL, CLIENT_ID = "sasl.oauthbearer.token.endpoint.url", "sasl.oauthbearer.client.id"
CLIENT_SECRET, SCOPE = "sasl.oauthbearer.client.secret", "sasl.oauthbearer.scope"
SECRETS = ("sasl.password", "ssl.key.password", CLIENT_SECRET)
OF_FILES = {f"{name}.file": name for name in SECRETS}
PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def client_options(options: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """Options as the client spells them, those that this one knows."""
    dotted = _dotted(options)
    spelt = {SPELT.get(name, name.replace(".", "_")): value for name, value in dotted.items()}
    for name in ("security_protocol", "sasl_mechanism"):
        if name in spelt:
            spelt[name] = str(spelt[name]).upper()
    if URL in dotted:
        secret = partial(_secret, dotted, CLIENT_SECRET)
        credentials = Credentials(dotted.get(CLIENT_ID), secret, dotted.get(SCOPE))
        spelt["sasl_oauth_token_provider"] = Tokens(dotted[URL], credentials)
    # What is in a file may be another secret by the next connection.
    spelt["kafka_client"] = partial(Client, partial(_passwords, dotted))
    return {name: value for name, value in spelt.items() if name in known}


def check_options(options: dict[str, Any]) -> None:
    """SettingsError for an option that is ours to set, that no client knows, or that does not go
    with the others."""
    known = {**KafkaConsumer.DEFAULT_CONFIG, **KafkaProducer.DEFAULT_CONFIG}
    names = {option.replace("_", ".") for option in known}
    names |= {*SPELT, *SECRETS, *OF_FILES, URL, CLIENT_ID, SCOPE}
    for name in options:
        dotted = name.replace("_", ".")
        if dotted in OURS:
            raise SettingsError(f"kafka.options: {name} is set by {OURS[dotted]}")
        if dotted in JAVA:
            raise SettingsError(f"kafka.options: {name} is Java's; instead there is {JAVA[dotted]}")
        if dotted not in names:
            raise SettingsError(
                f"kafka.options: {name} is not an option of the Kafka client; known are "
                f"{', '.join(sorted(names))}"
            )
    _check_security(_dotted(options))


def secrets_of(options: dict[str, Any]) -> dict[str, str | None]:
    """Of the options that name a file with a secret: what is in it now, None where nobody says."""
    return {name: _held(file) for name, file in _dotted(options).items() if name in OF_FILES}


def _held(file: str) -> str | None:
    try:
        return _read(file)
    except (OSError, ValueError):
        return None


def _check_security(dotted: dict[str, Any]) -> None:
    """That what is there to be safe is complete, and made use of."""
    try:
        given = client_options(dotted, KafkaConsumer.DEFAULT_CONFIG)
        given.update(_passwords(dotted))
    except OSError as error:
        raise SettingsError(f"kafka.options: {error}") from None
    protocol = given.get("security_protocol", "PLAINTEXT")
    if protocol not in PROTOCOLS:
        raise SettingsError(
            f"kafka.options: security.protocol {protocol} is none of {', '.join(PROTOCOLS)}"
        )
    mechanism = given.get("sasl_mechanism")
    if (mechanism is not None) != protocol.startswith("SASL_"):
        raise SettingsError(
            f"kafka.options: sasl.mechanism {mechanism or 'not set'} does not go with "
            f"security.protocol {protocol}: with SASL_SSL (or SASL_PLAINTEXT) set one, such as "
            "SCRAM-SHA-512, with others none"
        )
    _check_credentials(mechanism, given, dotted)
    used = "SSL" in protocol
    if not used and (idle := sorted(name for name in dotted if name.startswith("ssl."))):
        raise SettingsError(
            f"kafka.options: {', '.join(idle)}: nothing is encrypted with security.protocol "
            f"{protocol}; set SSL or SASL_SSL"
        )
    if used:
        _check_certificates(given)


def _check_credentials(
    mechanism: str | None, given: dict[str, Any], dotted: dict[str, Any]
) -> None:
    if mechanism == "OAUTHBEARER":
        url = urlsplit(str(dotted.get(URL, "")))
        safe = url.scheme in ("https", "file") or url.hostname in LOOPBACK
        if not safe or (url.scheme != "file" and CLIENT_ID not in dotted):
            raise SettingsError(
                f"kafka.options: OAUTHBEARER needs {URL}: file:///… of a file that holds the "
                f"token, or https://… with {CLIENT_ID} and {CLIENT_SECRET}.file"
            )
    needed = {
        "sasl_plain_username": "sasl.username",
        "sasl_plain_password": "sasl.password.file",  # nosec B105 - a name
    }
    if mechanism == "PLAIN" or (mechanism or "").startswith("SCRAM"):
        for spelt, name in needed.items():
            if not given.get(spelt):
                raise SettingsError(f"kafka.options: {mechanism} needs {name}")


def _check_certificates(given: dict[str, Any]) -> None:
    """As the client does for each connection."""
    defaults = KafkaSSLTransport.DEFAULT_CONFIG
    try:
        KafkaSSLTransport._build_ssl_context(
            {**defaults, **{name: given[name] for name in defaults if name in given}}
        )
    except (OSError, ValueError) as error:  # ssl's own is an OSError
        files = [str(given[n]) for n in ("ssl_cafile", "ssl_certfile", "ssl_keyfile") if n in given]
        raise SettingsError(
            f"kafka.options: {', '.join(files)}: {error}; certificates and keys are PEM files"
        ) from None


def _dotted(options: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("_", "."): value for name, value in options.items()}


def _passwords(dotted: dict[str, Any]) -> dict[str, str]:
    """Of the connection, those that lie in files, as they are there now."""
    named = {name: SPELT[of] for name, of in OF_FILES.items() if name in dotted and of in SPELT}
    return {spelt: _read(dotted[name]) for name, spelt in named.items()}


def _secret(dotted: dict[str, Any], name: str) -> str:
    file = dotted.get(f"{name}.file")
    return str(dotted.get(name, "")) if file is None else _read(file)


def _read(file: str) -> str:
    return Path(file).read_text(encoding="utf-8").strip()
