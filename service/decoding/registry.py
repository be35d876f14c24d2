"""Schemas from a schema registry, by the REST API that Confluent's has and others speak too.

A request ends in bounded time. What a registry cannot say now is Unavailable; what it will never
say rejects the records that need it.
"""

import http.client
import ssl
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

import msgspec

from service.errors import RecordRejected, Unavailable
from service.outgoing import Request, answer_of

SECONDS = 5.0  # for a request, from looking up the name to the answer's end
MOST_BYTES = 8 * 2**20  # of an answer
MOST_REFERENCES = 100  # of a schema
MOST_VERSIONS = 1000  # of subjects, that are kept, the newest
LARGEST_ID = 2**31 - 1  # a registry does not understand the question after a larger one
ABSENT = {40401, 40402, 40403}  # the registry's codes: no such subject, version, schema
HEADERS = {"Accept": "application/vnd.schemaregistry.v1+json, application/json"}


class Reference(msgspec.Struct, frozen=True):
    """Another schema, under the name that it has in the schema that needs it."""

    name: str
    subject: str
    version: int


class Schema(msgspec.Struct, frozen=True):
    """A schema as the registry has it; those without a type are Avro's."""

    text: str = msgspec.field(name="schema")
    kind: str = msgspec.field(name="schemaType", default="AVRO")
    references: tuple[Reference, ...] = ()


class _Refusal(msgspec.Struct):
    """What a registry says beside a status of 4xx or 5xx."""

    error_code: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Registry:
    """Where it is, who we are to it (`username:password`), and whom we trust."""

    url: str
    credentials: str | None = field(repr=False)
    tls: ssl.SSLContext
    _versions: dict[str, Schema] = field(default_factory=dict, repr=False)
    """Of subjects, by where they are asked for: a version never changes. What others need is had
    once, however often it is begun anew."""

    def schema(self, number: int, serialized: bool = False) -> Schema:
        """The one of this id; `serialized`: as Protobuf's own descriptor, in base64.

        Raises Unavailable, or RecordRejected where there is none.
        """
        return self._get(f"/schemas/ids/{number}{'?format=serialized' if serialized else ''}")

    def referenced(self, schema: Schema, serialized: bool = False) -> dict[str, Schema]:
        """The schemas that one needs, by name, each behind those that it needs itself."""
        found: dict[str, Schema] = {}
        for name, other in self._behind(schema, serialized, set()):
            found.setdefault(name, other)
        return found

    def _behind(
        self, schema: Schema, serialized: bool, seen: set[str]
    ) -> Iterator[tuple[str, Schema]]:
        for one in schema.references:
            if one.name in seen:
                continue
            seen.add(one.name)
            if len(seen) > MOST_REFERENCES:
                raise RecordRejected("bad_schema", f"more than {MOST_REFERENCES} references")
            more = "&format=serialized" if serialized else ""
            subject = quote(one.subject, safe="")
            other = self._version(f"/subjects/{subject}/versions/{one.version}?deleted=true{more}")
            yield from self._behind(other, serialized, seen)
            yield one.name, other

    def _version(self, path: str) -> Schema:
        if path not in self._versions:
            if len(self._versions) >= MOST_VERSIONS:
                del self._versions[next(iter(self._versions))]
            self._versions[path] = self._get(path)
        return self._versions[path]

    def _get(self, path: str) -> Schema:
        try:
            status, body = self._asked(path)
        except ssl.SSLCertVerificationError as error:
            raise self._away(
                f"its certificate is not trusted: {error.verify_message}; set "
                "kafka.schema_registry.ca_file to the PEM file of the authority that signed it"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._away(
                f"no answer: {error!r}; is it up, and kafka.schema_registry.url right?"
            ) from None
        if len(body) > MOST_BYTES:
            raise RecordRejected("bad_schema", f"it is larger than {MOST_BYTES} bytes")
        if status != http.HTTPStatus.OK:
            raise self._refusal(status, path, body)
        try:
            return msgspec.json.decode(body, type=Schema)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._away(
                f"what it answers is no schema: {error}; is kafka.schema_registry.url right?"
            ) from None

    def _refusal(self, status: int, path: str, body: bytes) -> Unavailable | RecordRejected:
        said = _Refusal()
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            said = msgspec.json.decode(body, type=_Refusal)
        if status == http.HTTPStatus.NOT_FOUND and said.error_code in ABSENT:
            return RecordRejected("bad_schema", f"the registry has none: {said.message[:200]}")
        told = f"it answered {status} {said.message[:200]}".strip()
        if status in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN):
            return self._away(
                f"{told}; set kafka.schema_registry.username and password_file to those of "
                "somebody who may read"
            )
        if status < http.HTTPStatus.INTERNAL_SERVER_ERROR:
            return self._away(f"{told} to {path}; is kafka.schema_registry.url right?")
        return self._away(f"{told}; its own log says more, it is asked again")

    def _away(self, why: str) -> Unavailable:
        return Unavailable(f"schema registry {self.url}: {why}")

    def _asked(self, path: str) -> tuple[int, bytes]:
        """Status and body of an answer. No redirect is followed: our password would go along."""
        headers = dict(HEADERS)
        if self.credentials is not None:
            headers["Authorization"] = f"Basic {b64encode(self.credentials.encode()).decode()}"
        request = Request("GET", urlsplit(self.url).path.rstrip("/") + path, headers)
        with answer_of(self.url, self.tls, request, SECONDS) as answer:
            return answer.status, answer.read(MOST_BYTES + 1)
