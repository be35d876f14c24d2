"""What keeps Kafka from doing what we ask, in words: what happened, and what to do."""

import ssl
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import (
    AuthorizationError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    SaslAuthenticationFailedError,
    UnknownTopicOrPartitionError,
    UnsupportedCodecError,
    UnsupportedSaslMechanismError,
)

from service.errors import Unavailable
from service.kafka.connections import final, reason_of
from service.kafka.options import client_options
from service.kafka.rights import Right, absent, missing

ANSWER_MS = 3000
OF_OURS = (
    "ALERT_BAD_CERTIFICATE",
    "ALERT_CERTIFICATE_EXPIRED",
    "ALERT_CERTIFICATE_REQUIRED",
    "ALERT_CERTIFICATE_REVOKED",
    "ALERT_CERTIFICATE_UNKNOWN",  # Kafka's word for most of it
    "ALERT_UNKNOWN_CA",
)
"""What a broker says of a certificate, as OpenSSL ends it."""
OTHER_NAMES = {62, 64}  # OpenSSL's: the certificate is of another host, or address
HINTS = {
    SaslAuthenticationFailedError: (
        "the broker does not take our credentials",
        "set the right sasl.username and sasl.password.file, or renew the token",
    ),
    UnsupportedSaslMechanismError: (
        "the broker does not offer this sasl.mechanism",
        "set one that it offers",
    ),
    UnsupportedCodecError: (
        "records are compressed in a way that is not installed here",
        ".venv/bin/pip install -e '.[kafka-compression]' and start again",
    ),
}
"""What an error of the client's means, and what to do."""


class Trouble:
    """Makes errors of Kafka's to what our callers understand; `rights` are those that we need."""

    def __init__(
        self, bootstrap_servers: list[str], options: dict[str, Any], rights: Sequence[Right] = ()
    ) -> None:
        self._servers, self._options = bootstrap_servers, options
        self._rights = rights

    def check(self) -> None:
        """Unavailable where a right is missing that will be needed."""
        with self.checked():
            """There is none."""

    @contextmanager
    def checked(self) -> Iterator[Any]:
        """An administrator's client, once no right is missing; Unavailable where one is."""
        with ExitStack() as stack:
            try:
                admin = stack.enter_context(self.admin())
                lacking = missing(admin, self._rights)
            except (KafkaError, OSError) as error:
                raise self.of(error) from error
            if lacking:
                raise Unavailable(_refused(lacking))
            yield admin

    def of(self, error: Exception, client: Any = None, tried: Right | None = None) -> Unavailable:
        """For an error of a client's, with what was tried where that is known; to be raised."""
        error = next((one for one in error.args if isinstance(one, KafkaError)), error)  # wrapped
        if isinstance(error, AuthorizationError):
            return Unavailable(self._unauthorized(error, tried))
        if isinstance(error, (KafkaConnectionError, KafkaTimeoutError)):
            failure = failure_of(client)
            if failure is None and (absent := self._absent()):
                return Unavailable(f"kafka: {no_topic(absent)}")
            error = failure or error
        return Unavailable(f"kafka: {in_words(error)}")

    def _unauthorized(self, error: AuthorizationError, tried: Right | None) -> str:
        try:
            lacking = self._missing(error) if tried is None else [tried]
        except (KafkaError, OSError):  # what we know already has to do
            lacking = []
        if lacking:
            return _refused(lacking)
        about = ", ".join(sorted(_names(error)))
        return (
            f"kafka: the broker does not allow it: {error.message} {about}; docs/kafka-security.md "
            "lists the rights that are needed"
        )

    def _absent(self) -> list[str]:
        """Topics that are not there, as far as somebody answers; memories' ones are made."""
        try:
            with self.admin() as admin:
                return absent(admin, self._rights)
        except (KafkaError, OSError):
            return []

    def _missing(self, error: Exception) -> list[Right]:
        with self.admin() as admin:
            return missing(admin, self._rights, error)

    def admin(self) -> Any:
        """An administrator's client, closed at the end of a `with`; it answers in bounded time."""
        known = client_options(self._options, KafkaAdminClient.DEFAULT_CONFIG)
        config = {
            "request_timeout_ms": ANSWER_MS,
            **known,
            "bootstrap_timeout_ms": ANSWER_MS,
            "bootstrap_servers": self._servers,
        }
        return closing(KafkaAdminClient(**config))


def in_words(error: Exception) -> str:
    """What an error means, and what to do."""
    reason = reason_of(error)
    if isinstance(reason, ssl.SSLError):
        return _of_tls(reason)
    if (hint := HINTS.get(type(error))) is not None:
        return f"{hint[0]}: {error.args[-1] if error.args else error}; {hint[1]}"
    if isinstance(error, UnknownTopicOrPartitionError):
        return no_topic(_names(error))
    if isinstance(error, KafkaError) and final(error) and reason:
        return f"{reason}; put it right, it is tried again"
    return (
        f"{error!r}; is the broker up, and do security.protocol and sasl.mechanism go with its "
        "listener?"
    )


def no_topic(names: Sequence[str]) -> str:
    return (
        f"no topic {', '.join(names)} yet, or we may not see it: make it with kafka-topics.sh "
        "--create, or allow to Describe it"
    )


def failure_of(client: Any) -> KafkaError | None:
    """Why the last connection of a consumer, a producer or an admin client failed, if it did."""
    holder = client if hasattr(client, "_manager") else getattr(client, "_sender", None)
    manager = getattr(getattr(holder, "_client", holder), "_manager", None)
    failure: KafkaError | None = getattr(manager, "failure", None)
    return failure


def _of_tls(error: ssl.SSLError) -> str:
    if (error.reason or "").endswith(OF_OURS):
        return (
            f"the broker does not take our certificate: {error}; is ssl.certificate.location set, "
            "is it still valid (openssl x509 -noout -dates -in FILE), and is it by an authority "
            "that the broker trusts? Put it right, it is tried again"
        )
    if not isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"no TLS with the broker: {error}; is security.protocol that of its listener, and our "
            "certificate one that it takes?"
        )
    if error.verify_code in OTHER_NAMES:
        return (
            f"the broker's certificate is not its own: {error.verify_message}; set "
            "kafka.bootstrap_servers to the names in it, or give the broker one with its name"
        )
    return (
        f"the broker's certificate is not trusted: {error.verify_message}; set ssl.ca.location to "
        "the PEM file of the authority that signed it"
    )


def _refused(lacking: Sequence[Right]) -> str:
    return "kafka: we lack the right to " + "; and to ".join(map(str, lacking))


def _names(error: KafkaError) -> list[str]:
    """The resources that the client says an error is about."""
    found: list[str] = []
    for one in error.args:
        found += map(str, one) if isinstance(one, (set, list, tuple)) else [str(one)]
    return found
