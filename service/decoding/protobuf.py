"""Protobuf records -> what the same record is in JSON, with fields named as in the `.proto`."""

from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from google.protobuf import (
    any_pb2,
    api_pb2,
    descriptor_pb2,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    message_factory,
    source_context_pb2,
    struct_pb2,
    timestamp_pb2,
    type_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

from service.decoding.avro import Read, decimal, moment, shortest
from service.errors import RecordRejected

ROOT = "the schema of a record"
TAGS = "confluent/meta.proto"  # options alone, which nobody here reads
DECIMAL = "confluent.type.Decimal"
KNOWN = {
    module.DESCRIPTOR.name: module.DESCRIPTOR.serialized_pb
    for module in (
        any_pb2, api_pb2, descriptor_pb2, duration_pb2, empty_pb2, field_mask_pb2,
        source_context_pb2, struct_pb2, timestamp_pb2, type_pb2, wrappers_pb2,
    )
}  # fmt: skip
WRAPPERS = {f"google.protobuf.{name}" for name in wrappers_pb2.DESCRIPTOR.message_types_by_name}

Plain = Callable[[Any], object]


def protobuf_reader(descriptor: str, referenced: Mapping[str, str], most_bytes: int) -> Read:
    """Reads records of a file of messages; `referenced` are the files that it needs, by name, each
    behind those that it needs itself. All are descriptors in base64. A record that is surely
    larger than `most_bytes` in JSON is not read to its end: RecordRejected."""
    pool = DescriptorPool()
    for name, one in [*referenced.items(), (ROOT, descriptor)]:
        _add(pool, name, b64decode(one, validate=True))
    roots = pool.FindFileByName(ROOT).message_types_by_name
    messages: dict[tuple[int, ...], tuple[Any, Plain]] = {}
    plain = _Plain(most_bytes)

    def read(payload: bytes) -> object:
        indexes, at = _indexes(payload)
        if indexes not in messages:  # there are as many as the file has
            message = _message(list(roots.values()), indexes)
            messages[indexes] = message_factory.GetMessageClass(message), plain.of(message)
        kind, in_json = messages[indexes]
        plain.begin()
        return in_json(kind.FromString(payload[at:]))

    return read


def _add(pool: DescriptorPool, name: str, serialized: bytes) -> None:
    """A file, behind those of its imports that come with every client."""
    file = FileDescriptorProto.FromString(serialized)
    file.name = name
    kept = [one for one in file.dependency if one != TAGS]
    if len(kept) < len(file.dependency):
        for places in (file.public_dependency, file.weak_dependency):
            del places[:]
        file.dependency[:] = kept
    for one in kept:
        _add_known(pool, one)
    pool.AddSerializedFile(file.SerializeToString())


def _add_known(pool: DescriptorPool, name: str) -> None:
    if _has(pool, name):
        return
    if name in ("confluent/type/decimal.proto", "confluent/types/decimal.proto"):
        pool.AddSerializedFile(_decimal_file(name))
    elif name in KNOWN:
        _add(pool, name, KNOWN[name])


def _has(pool: DescriptorPool, name: str) -> bool:
    try:
        pool.FindFileByName(name)
    except KeyError:
        return False
    return True


def _decimal_file(name: str) -> bytes:
    """Confluent's decimals: an unscaled number in two's complement, its digits and its scale."""
    file = FileDescriptorProto(name=name, package="confluent.type", syntax="proto3")
    message = file.message_type.add(name="Decimal")
    kinds = {
        "value": FieldDescriptorProto.TYPE_BYTES,
        "precision": FieldDescriptorProto.TYPE_UINT32,
        "scale": FieldDescriptorProto.TYPE_INT32,
    }
    for number, (field, kind) in enumerate(kinds.items(), 1):
        message.field.add(
            name=field, number=number, type=kind, label=FieldDescriptorProto.LABEL_OPTIONAL
        )
    return file.SerializeToString()


def _indexes(payload: bytes) -> tuple[tuple[int, ...], int]:
    """Which message of the file it is, by its place and those of the ones around it; and where the
    message starts."""
    many, at = _number(payload, 0)
    if many == 0:
        return (0,), at
    if not 0 < many <= len(payload):
        raise ValueError(f"{many} message indexes")
    found = []
    for _ in range(many):
        index, at = _number(payload, at)
        found.append(index)
    return tuple(found), at


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A zigzag number of seven bits a byte, and the place after it."""
    value = 0
    for shift in range(0, 35, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at
    raise ValueError("a message index is too large")


def _message(messages: list[Descriptor], indexes: tuple[int, ...]) -> Descriptor:
    for depth, index in enumerate(indexes):
        if not 0 <= index < len(messages):
            raise ValueError(f"its schema has no message {list(indexes)}")
        if depth == len(indexes) - 1:
            return messages[index]
        messages = list(messages[index].nested_types)
    raise ValueError("no message index")


class _Plain:
    """How messages become what they are in JSON. What is known of a message is kept.

    Two bytes may be a message of a hundred fields, or a symbol of a thousand letters: what is made
    is counted, by the bytes that it has in JSON at least.
    """

    def __init__(self, most_bytes: int) -> None:
        self._fields: dict[str, list[tuple[str, bool, Plain]]] = {}
        self._most = self._left = most_bytes

    def begin(self) -> None:
        """A record's first message."""
        self._left = self._most

    def _spend(self, text: str) -> None:
        """A name or a symbol, in quotes, and a colon or a comma."""
        self._left -= len(text) + 3
        if self._left < 0:
            raise RecordRejected("too_large", f"more than {self._most} bytes in JSON")

    def of(self, message: Descriptor) -> Plain:
        name = message.full_name
        if name == "google.protobuf.Timestamp":
            return lambda one: moment(one.seconds * 10**9 + one.nanos, 10**9)
        if name == DECIMAL:
            return lambda one: decimal(one.value, one.scale)
        if name in WRAPPERS:
            within = self._one(message.fields_by_name["value"])
            return lambda one: within(one.value)
        if name not in self._fields:
            self._fields[name] = []  # before its fields: it may be a part of itself
            self._fields[name] += [
                (field.name, field.has_presence, self._field(field)) for field in message.fields
            ]
        fields = self._fields[name]
        return lambda one: dict(self._said(one, fields))

    def _field(self, field: FieldDescriptor) -> Plain:
        if not field.is_repeated:
            return self._one(field)
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            value = self._one(kind.fields_by_name["value"])
            return lambda found: {str(key): value(found[key]) for key in found}
        item = self._one(field)
        return lambda found: [item(one) for one in found]

    def _one(self, field: FieldDescriptor) -> Plain:
        if field.message_type is not None:
            return self.of(field.message_type)
        if field.enum_type is not None:
            names = {number: one.name for number, one in field.enum_type.values_by_number.items()}
            return lambda number: self._symbol(names.get(number, str(number)))
        return shortest if field.type == FieldDescriptor.TYPE_FLOAT else _same

    def _symbol(self, name: str) -> str:
        self._spend(name)
        return name

    def _said(
        self, message: Any, fields: list[tuple[str, bool, Plain]]
    ) -> Iterator[tuple[str, object]]:
        """The fields of a message that are there; those that cannot be left out always are."""
        for name, may_be_absent, plain in fields:
            if not may_be_absent or message.HasField(name):
                self._spend(name)
                yield name, plain(getattr(message, name))


def _same(value: object) -> object:
    return value
