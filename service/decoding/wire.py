"""Records in the wire format of schema registries -> the same records in JSON.

A byte 0, a schema's id in four bytes, big-endian, and the payload: no JSON begins with that byte,
so records of both kinds may be in one topic.
https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

import msgspec
import numpy as np

from service.decoding.avro import Read, avro_reader
from service.decoding.json import Unpacked
from service.decoding.protobuf import protobuf_reader
from service.decoding.registry import LARGEST_ID, Registry
from service.errors import RecordRejected, Unavailable
from service.records import I64, RawBatch, read_only

T = TypeVar("T")

MAGIC, FRAME = 0, 5  # the first byte, and how many are before the payload
SCHEMAS = 1000  # that are kept, the newest
REFUSED_SECONDS = 60.0  # for which a schema that cannot be had is not asked for again
MOST_REFUSED = 1000  # schemas that are asked for in vain, in so many seconds
LONGEST_DETAIL = 300
SECONDS = 20.0  # for the schemas of a batch; what was had by then is kept, and it is tried again

_in_json = msgspec.json.Encoder(decimal_format="number").encode


class Wire:
    """Belongs to one thread. Values of more than `max_event_bytes` are left as they are: whoever
    reads them says so. Those that are larger than that in JSON are refused."""

    def __init__(self, registry: Registry, max_event_bytes: int) -> None:
        self._registry = registry
        self._most = max_event_bytes
        self._readers: dict[int, Read] = {}
        self._refused: dict[int, tuple[float, str]] = {}  # when, by the batch's clock, and why
        self._in_vain: deque[float] = deque(maxlen=MOST_REFUSED)  # when, the oldest first
        self._tried: RawBatch | None = None
        self._clock = self._until = 0.0
        self._last: tuple[RawBatch, Unpacked] | None = None

    def unpack(self, raw: RawBatch) -> Unpacked:
        """The records in JSON, and which cannot be read and why. Unavailable where the registry
        does not answer."""
        if self._last is None or self._last[0] is not raw:  # several detectors take the same one
            self._last = raw, self._unpacked(raw)
        return self._last[1]

    def _begin(self, raw: RawBatch) -> None:
        """Time stands still for a batch that is tried again, or one with more schemas that cannot
        be had than may be asked for would forget the first ones before it comes to the last."""
        if self._tried is raw:
            return
        self._tried, self._clock = raw, time.monotonic()
        after = self._clock - REFUSED_SECONDS
        self._refused = {n: (at, why) for n, (at, why) in self._refused.items() if at > after}

    def _unpacked(self, raw: RawBatch) -> Unpacked:
        self._begin(raw)
        self._until = time.monotonic() + SECONDS
        refused: dict[int, RecordRejected] = {}
        keys, values = raw.keys.copy(), raw.values.copy()
        texts, end = [], len(raw.data)
        for spans, read in ((keys, self._key), (values, self._value)):
            for i, framed in self._framed(raw, spans):
                try:
                    text = read(framed)
                except RecordRejected as rejected:
                    refused[i] = rejected
                    continue
                spans[i] = end, -1 if text is None else len(text)
                texts.append(text or b"")
                end += len(texts[-1])
        if not texts and not refused:
            return raw, refused
        values[list(refused)] = 0, -1
        data = np.concatenate([raw.data, np.frombuffer(b"".join(texts), np.uint8)])
        return replace(raw, data=read_only(data), keys=keys, values=values), refused

    def _framed(self, raw: RawBatch, spans: I64) -> Iterator[tuple[int, bytes]]:
        """Those of the keys or values that are in the wire format."""
        starts, lengths = spans.T
        long = np.flatnonzero((lengths >= FRAME) & (lengths <= self._most))
        framed = long[raw.data[starts[long]] == MAGIC]
        view = raw.data.data
        for i, (start, length) in zip(framed.tolist(), spans[framed].tolist(), strict=True):
            yield i, bytes(view[start : start + length])

    def _value(self, framed: bytes) -> bytes:
        text = self._read(framed, _in_json)
        if len(text) > self._most:
            raise RecordRejected("too_large", f"{len(text)} bytes in JSON, at most {self._most}")
        return text

    def _key(self, framed: bytes) -> bytes | None:
        """The stream's name; None where a key is no text or whole number: a field says it then."""
        return self._read(framed, _name)

    def _read(self, framed: bytes, then: Callable[[object], T]) -> T:
        number = int.from_bytes(framed[1:FRAME], "big")
        reader = self._reader(number)
        try:
            return then(reader(framed[FRAME:]))
        except RecordRejected:
            raise
        except Exception as error:  # noqa: BLE001 - what libraries make of bytes that are not theirs
            told = f"not of its schema, {number}: {error!r}"
            raise RecordRejected("bad_payload", told[:LONGEST_DETAIL]) from None

    def _reader(self, number: int) -> Read:
        reader = self._readers.get(number)
        if reader is not None:
            return reader
        if number > LARGEST_ID:  # a registry would not understand the question
            raise RecordRejected("bad_schema", f"no schema can have the id {number}")
        if number not in self._refused:
            self._check_pace()
            if time.monotonic() > self._until:
                raise Unavailable(
                    f"schema registry: the schemas of a batch took it {SECONDS:.0f} s; the next "
                    "ones are asked for now; is it slow, or far away?"
                )
            try:
                return self._kept(number, self._made(number))
            except RecordRejected as rejected:
                detail = f"schema {number}: {rejected.detail}"[:LONGEST_DETAIL]
                self._refused[number] = self._clock, detail
                self._in_vain.append(time.monotonic())
        raise RecordRejected("bad_schema", self._refused[number][1])

    def _kept(self, number: int, reader: Read) -> Read:
        self._readers[number] = reader
        if len(self._readers) > SCHEMAS:
            del self._readers[next(iter(self._readers))]
        return reader

    def _check_pace(self) -> None:
        """Unavailable where too many were asked for in vain. The next one may be there, so it is
        not rejected unasked: it waits."""
        full = len(self._in_vain) == self._in_vain.maxlen
        if full and time.monotonic() - self._in_vain[0] < REFUSED_SECONDS:
            raise Unavailable(
                f"schema registry: {MOST_REFUSED} schemas in {REFUSED_SECONDS:.0f} s were asked "
                "for that it does not have, or that are not read by; the next ones are asked for "
                "later; is kafka.schema_registry.url the producers' registry, and who writes "
                "other records that begin with a byte 0?"
            )

    def _made(self, number: int) -> Read:
        schema = self._registry.schema(number)
        serialized = schema.kind == "PROTOBUF"
        if serialized:
            schema = self._registry.schema(number, serialized)
        if schema.kind == "JSON":
            return msgspec.Raw
        if schema.kind not in ("AVRO", "PROTOBUF"):
            raise RecordRejected("bad_schema", f"of the type {schema.kind[:50]}, which is not read")
        others = self._registry.referenced(schema, serialized)
        texts = {name: other.text for name, other in others.items()}
        try:
            if serialized:
                return protobuf_reader(schema.text, texts, self._most)
            return avro_reader(schema.text, texts.values())
        except Exception as error:  # noqa: BLE001 - what libraries make of a schema that is none
            raise RecordRejected("bad_schema", repr(error)) from None


def _name(value: object) -> bytes | None:
    if isinstance(value, msgspec.Raw):
        value = msgspec.json.decode(value)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str):
        return value.encode()
    return value if isinstance(value, bytes) else None
