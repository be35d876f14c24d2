"""A broker as they are really run: TLS, somebody to prove who they are, and nothing allowed that is
not granted."""

import base64
import json
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from kafka.admin import ACLResourcePatternType as PatternType

from service.bench.broker import Broker, free_port, started
from tests.kafka.topics import Names

USER, PASSWORD = "anna", "s3cret-of-anna"
PRINCIPAL = f"User:{USER}"
MECHANISMS = ("PLAIN", "SCRAM-SHA-512", "OAUTHBEARER")
LOGIN = "org.apache.kafka.common.security"


@dataclass(frozen=True)
class Grant:
    """An access control entry, as kafka-acls.sh takes one."""

    operation: str
    resource: str
    name: str
    prefixed: bool = False


@dataclass(frozen=True)
class Secured:
    """A broker whose second listener is safe, and whose third takes those alone who have a
    certificate; the first is its administrator's."""

    broker: Broker
    port: int
    mutual_port: int
    folder: Path

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def mutual(self) -> "Secured":
        """The same, its third listener meant."""
        return replace(self, port=self.mutual_port)

    @property
    def authority(self) -> Path:
        return self.folder / "ca.pem"

    def options(self, mechanism: str) -> dict[str, Any]:
        """As a user would set them, secrets in files."""
        common = {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": mechanism,
            "ssl.ca.location": str(self.authority),
        }
        if mechanism == "OAUTHBEARER":
            return {**common, "sasl.oauthbearer.token.endpoint.url": token_file(self.folder)}
        return {
            **common,
            "sasl.username": USER,
            "sasl.password.file": str(self.folder / "password"),
        }

    def certified(self, who: str = USER) -> dict[str, Any]:
        """Options of who has a certificate; see `make_certificates`."""
        return {
            "security.protocol": "SSL",
            "ssl.ca.location": str(self.authority),
            "ssl.certificate.location": str(self.folder / f"{who}.crt"),
            "ssl.key.location": str(self.folder / f"{who}.key"),
        }

    def grant(self, grants: Iterable[Grant]) -> None:
        with self._admin() as admin:
            told = admin.create_acls([_acl(grant) for grant in grants])
        assert not told["failed"]

    def revoke(self, grants: Iterable[Grant]) -> None:
        with self._admin() as admin:
            for grant in grants:
                acl = _acl(grant)
                pattern = acl.resource_pattern
                admin.delete_acls(
                    [
                        ACLFilter(
                            acl.principal, acl.host, acl.operation, acl.permission_type,
                            ResourcePatternFilter(
                                pattern.resource_type, pattern.resource_name, pattern.pattern_type
                            ),
                        )
                    ]
                )  # fmt: skip

    def set_password(self, password: str) -> None:
        """Of SCRAM; what the broker knows, and not what is in our file."""
        user = UserScramCredentialUpsertion(USER, ScramMechanism.SCRAM_SHA_512, password)
        with self._admin() as admin:
            assert admin.alter_user_scram_credentials([user]) == {USER: None}

    def _admin(self) -> Any:
        return closing(KafkaAdminClient(bootstrap_servers=self.broker.address))


def least(names: Names) -> list[Grant]:
    """What the service needs, and no more: as docs/kafka-security.md lists it."""
    return [
        Grant("Read", "topic", names.events),
        Grant("Write", "topic", names.anomalies),
        Grant("Write", "topic", names.episodes),
        Grant("Write", "topic", names.dead_letters),
        Grant("Read", "topic", names.memory),
        Grant("Write", "topic", names.memory),
        Grant("Create", "topic", names.memory),
        Grant("Read", "group", names.events),
        Grant("Write", "transactional-id", f"{names.events}.", prefixed=True),
    ]


def token_file(folder: Path) -> str:
    return (folder / "token").as_uri()


def write_token(folder: Path, seconds: float = 3600.0) -> None:
    """As a sidecar does; Kafka's validator for tests takes it without a signature."""
    now = time.time()
    parts = {"alg": "none"}, {"sub": USER, "iat": now, "exp": now + seconds}
    texts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts]
    new = folder / "token.new"
    new.write_text(b".".join([*texts, b""]).decode(), encoding="utf-8")
    new.replace(folder / "token")


@contextmanager
def secured_broker(home: Path, folder: Path) -> Iterator[Secured]:
    folder.mkdir(parents=True, exist_ok=True)
    make_certificates(folder)
    (folder / "password").write_text(f"{PASSWORD}\n", encoding="utf-8")
    write_token(folder)
    of, mutual = "listener.name.sasl_ssl", "listener.name.ssl"
    more = {
        f"{mutual}.ssl.client.auth": "required",
        f"{mutual}.ssl.keystore.type": "PEM",
        f"{mutual}.ssl.keystore.location": str(folder / "broker.pem"),
        f"{mutual}.ssl.truststore.type": "PEM",
        f"{mutual}.ssl.truststore.location": str(folder / "ca.pem"),
        f"{mutual}.ssl.principal.mapping.rules": "RULE:^CN=(.*)$/$1/",
        "sasl.enabled.mechanisms": ",".join(MECHANISMS),
        f"{of}.ssl.keystore.type": "PEM",
        f"{of}.ssl.keystore.location": str(folder / "broker.pem"),
        f"{of}.plain.sasl.jaas.config": (
            f'{LOGIN}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
        ),
        f"{of}.scram-sha-512.sasl.jaas.config": f"{LOGIN}.scram.ScramLoginModule required;",
        f"{of}.oauthbearer.sasl.jaas.config": (
            f"{LOGIN}.oauthbearer.OAuthBearerLoginModule required;"
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        # Who we are has to be proven again and again, as where tokens are short-lived.
        f"{of}.connections.max.reauth.ms": "4000",
    }
    scram = ("--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]")
    ports: list[int] = []

    def made(place: Path) -> Broker:
        ports[:] = [free_port(), free_port()]
        listeners = [f"SASL_SSL://127.0.0.1:{ports[0]}", f"SSL://127.0.0.1:{ports[1]}"]
        return Broker(home, place, listeners, more, scram)

    broker = started(made, folder / "kafka")
    try:
        port, mutual_port = ports
        yield Secured(broker, port, mutual_port, folder)
    finally:
        broker.kill()


def make_certificates(folder: Path) -> None:
    """An authority, and another one; by the first a broker's certificate, the user's, and one that
    has expired; by the other a stranger's."""
    for authority in ("ca", "other-ca"):
        _openssl(
            folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            "-keyout", f"{authority}.key", "-out", f"{authority}.pem", "-subj", f"/CN={authority}",
        )  # fmt: skip
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n", encoding="utf-8")
    _certify(folder, "broker", "broker", "-days", "2", "-extfile", "names")
    _certify(folder, USER, USER, "-days", "2")
    _certify(folder, "expired", USER, "-days", "-1")
    _certify(folder, "stranger", USER, "-days", "2", authority="other-ca")
    key, certificate = (folder / "broker.key"), (folder / "broker.crt")
    (folder / "broker.pem").write_text(key.read_text() + certificate.read_text())


def _certify(folder: Path, file: str, name: str, *how: str, authority: str = "ca") -> None:
    _openssl(
        folder, "req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{file}.key",
        "-out", f"{file}.csr", "-subj", f"/CN={name}",
    )  # fmt: skip
    _openssl(
        folder, "x509", "-req", "-in", f"{file}.csr", "-CA", f"{authority}.pem",
        "-CAkey", f"{authority}.key", "-CAcreateserial", "-out", f"{file}.crt", *how,
    )  # fmt: skip


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def _acl(grant: Grant) -> ACL:
    kind = ResourceType[grant.resource.replace("-", "_").upper()]
    pattern = PatternType.PREFIXED if grant.prefixed else PatternType.LITERAL
    return ACL(
        PRINCIPAL, "*", ACLOperation[grant.operation.upper()], ACLPermissionType.ALLOW,
        ResourcePattern(kind, grant.name, pattern),
    )  # fmt: skip
