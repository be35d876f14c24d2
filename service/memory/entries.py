"""Memories as entries of a changelog: what a record's key and value are.

A key names a thing, the last value under it counts, and none means that it is gone: so a compacted
topic keeps what counts. A pack of rows is one entry, the memory of an idle stream is one, and the
position that all of them are current to is one. Keys are JSON, so that a person can read them; they
begin with the consumer group, the detector and the topic, so that these can share a topic, and with
the artifact, as memories of one may warm up while those of another speak.
"""

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from model.row import FORMAT
from service.errors import StateError
from service.memory.packs import NOWHERE, Pack
from service.memory.store import Idle, Shape
from service.records import Names, read_only

PACK, IDLE, HEAD = "pack", "idle", "head"


T_co = TypeVar("T_co", covariant=True)


class Decoder(Protocol[T_co]):
    def decode(self, value: bytes, /) -> T_co: ...


class _Rows(msgspec.Struct, array_like=True):
    """What every value that holds rows begins with."""

    format: int
    fingerprint: str
    features: tuple[str, ...]
    rows: memoryview


class _Pack(_Rows, array_like=True):
    slots: memoryview
    used: memoryview
    lengths: memoryview
    streams: memoryview


class Head(msgspec.Struct, omit_defaults=True):
    """What memories are current to: the offset of the next record, in the topic of this id."""

    position: int
    topic_id: str | None = None


_keys = msgspec.json.Decoder(tuple[str, str, str, str, str, str | int])
_packs = msgspec.msgpack.Decoder(_Pack)
_idle = msgspec.msgpack.Decoder(_Rows)
_heads = msgspec.json.Decoder(Head)


class Keys:
    """The keys of the memories that one artifact made of a detector's streams in one partition, for
    one group."""

    def __init__(self, group: str, detector: str, topic: str, fingerprint: str) -> None:
        self._detector = [group, detector, topic]
        self.fingerprint = fingerprint

    def pack(self, number: int) -> bytes:
        return self._key(PACK, number)

    def idle(self, stream: str) -> bytes:
        return self._key(IDLE, stream)

    @property
    def head(self) -> bytes:
        return self._key(HEAD, "")

    def read(self, key: bytes) -> tuple[str, str, int | str]:
        """What a key names: the artifact, and PACK and its number, IDLE and the stream, or HEAD; no
        artifact where it is none of this detector's in this topic."""
        try:
            *detector, fingerprint, kind, name = _keys.decode(key)
        except msgspec.DecodeError:
            return "", "", ""
        return (fingerprint, kind, name) if detector == self._detector else ("", "", "")

    def _key(self, kind: str, name: str | int) -> bytes:
        return msgspec.json.encode((*self._detector, self.fingerprint, kind, name))


def pack_value(shape: Shape, pack: Pack) -> bytes:
    streams = pack.streams.joined()
    return msgspec.msgpack.encode(
        _Pack(
            shape.format, shape.fingerprint, shape.features, _bytes(pack.rows), _bytes(pack.slots),
            _bytes(pack.used), _bytes(streams.spans[:, 1]), _bytes(streams.data),
        )
    )  # fmt: skip


def pack_of(number: int, value: bytes) -> tuple[Shape, Pack]:
    """What `pack_value` wrote. ValueError where it is not that; StateError where a later version
    wrote it."""
    read = _decoded(_packs, value)
    shape = _shape(read)
    slots, used, lengths = (
        np.frombuffer(part, np.int64) for part in (read.slots, read.used, read.lengths)
    )
    spans = np.stack([np.cumsum(lengths) - lengths, lengths], axis=1)
    held = int(np.count_nonzero(lengths))
    rows = np.frombuffer(read.rows, np.uint8).reshape(held, len(read.rows) // max(held, 1))
    if not len(slots) == len(used) == len(lengths) or lengths.sum() != len(read.streams):
        raise ValueError("its parts do not fit together")
    names = Names(read_only(read.streams), spans)
    return shape, Pack(number, slots, names, used, rows, np.ones(held, np.bool_))


def idle_value(shape: Shape, features: Sequence[str], row: bytes) -> bytes:
    rows = memoryview(row)
    return msgspec.msgpack.encode(_Rows(shape.format, shape.fingerprint, tuple(features), rows))


def idle_of(stream: str, value: bytes) -> tuple[Shape, Idle]:
    read = _decoded(_idle, value)
    return _shape(read), Idle(stream, read.features, bytes(read.rows))


def head_value(head: Head) -> bytes:
    return msgspec.json.encode(head)


def head_of(value: bytes) -> Head:
    return _decoded(_heads, value)


def gone(number: int) -> Pack:
    """What stands for a pack that was dropped."""
    nothing = np.empty(0, np.int64)
    rows, changed = np.empty((0, 0), np.uint8), np.empty(0, np.bool_)
    return Pack(number, nothing, Names.of([]), nothing, rows, changed)


NOTHING = gone(NOWHERE)
"""Stands for it that none of the packs before counts."""


def _decoded(decoder: "Decoder[T_co]", value: bytes) -> T_co:
    try:
        return decoder.decode(value)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error


def _shape(read: _Rows) -> Shape:
    if read.format != FORMAT:
        raise StateError(f"format {read.format}, this version reads {FORMAT}")
    return Shape(read.fingerprint, read.features, read.format)


def _bytes(array: "npt.NDArray[Any]") -> memoryview:
    return memoryview(array.tobytes())
