"""Records in the wire format of schema registries, as Confluent's own serializers write them."""

import io
import json
import ssl
import struct
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fastavro
import numpy as np
import pytest
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.confluent.types import decimal_pb2
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pool, message_factory, timestamp_pb2, wrappers_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from hypothesis import given, settings
from hypothesis import strategies as st

from model.categories import bucket_of
from service.bootstrap import Secrets, build_detector, unpacking
from service.checks import check_change
from service.decoding import registry as over_http
from service.decoding import wire
from service.decoding.json import Decoded, Fields, JsonDecoder, Limits
from service.decoding.registry import Registry
from service.decoding.wire import Wire
from service.detector import Detector
from service.errors import SettingsError, Unavailable
from service.kafka.trouble import Trouble
from service.records import REASONS, RawBatch, event_id, result_of
from service.settings.detector import DetectorSettings
from service.settings.limits import LimitSettings
from service.settings.loading import load_settings
from service.settings.tree import Settings
from tests.certificates import self_signed
from tests.registry import Registered, running_registry
from tests.service.parts import make_pipeline, raw_batch

MOST_BYTES = 2000
LIMITS = Limits(MOST_BYTES, 100, max_features=20, max_clock_skew_seconds=1e9)
FIELDS = Fields("stream", ("time",), frozenset(), discover=True, categories=("mode",))
MODES = ["OFF", "ON"]
FAR = 2**63 - 1  # "never", as many say it

AVRO = {
    "type": "record",
    "name": "Event",
    "fields": [
        {"name": "stream", "type": "string"},
        {"name": "time", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "value", "type": "double"},
        {"name": "load", "type": ["null", "double"]},
        {"name": "count", "type": "long"},
        {"name": "warm", "type": "float"},
        {"name": "mode", "type": {"type": "enum", "name": "Mode", "symbols": MODES}},
        {
            "name": "inner",
            "type": {
                "type": "record",
                "name": "Inner",
                "fields": [{"name": "value", "type": "double"}],
            },
        },
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {
            "name": "price",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 3},
        },
    ],
}
NUMBERS = st.floats(-1e9, 1e9)
EVENTS = st.fixed_dictionaries(
    {
        "stream": st.sampled_from(["a", "b", "ü"]),
        "time": st.integers(1_700_000_000_000_000, 1_700_001_000_000_000),
        "value": NUMBERS,
        "load": st.none() | NUMBERS,
        "count": st.integers(-(2**53), 2**53),
        "warm": st.floats(-100.0, 100.0, width=32),
        "mode": st.sampled_from(MODES),
        "inner": st.fixed_dictionaries({"value": NUMBERS}),
        "tags": st.lists(st.text(max_size=3), max_size=2),
        "price": st.integers(-(10**9), 10**9).map(lambda n: Decimal(n).scaleb(-3)),
    }
)
"""Events whose times are microseconds."""
SOME = {
    "stream": "a", "time": 1_700_000_000_000_001, "value": 1.5, "load": None, "count": -3,
    "warm": float(np.float32(20.1)), "mode": "ON", "inner": {"value": 2.0}, "tags": ["x"],
    "price": Decimal("12.345"),
}  # fmt: skip


def _file() -> FileDescriptorProto:
    """The same event as AVRO, as the second message of a file."""
    file = FileDescriptorProto(name="wakeful/event.proto", package="wakeful.test", syntax="proto3")
    file.dependency.extend(
        [
            timestamp_pb2.DESCRIPTOR.name,
            wrappers_pb2.DESCRIPTOR.name,
            decimal_pb2.DESCRIPTOR.name,
        ]
    )
    file.enum_type.add(name="Mode")
    for number, name in enumerate(MODES):
        file.enum_type[0].value.add(name=name, number=number)
    inner = file.message_type.add(name="Inner")
    inner.field.add(name="value", number=1, type=Field.TYPE_DOUBLE, label=Field.LABEL_OPTIONAL)
    event = file.message_type.add(name="Event")
    kinds: dict[str, tuple[Any, str | None]] = {
        "stream": (Field.TYPE_STRING, None),
        "time": (Field.TYPE_MESSAGE, ".google.protobuf.Timestamp"),
        "value": (Field.TYPE_DOUBLE, None),
        "load": (Field.TYPE_MESSAGE, ".google.protobuf.DoubleValue"),
        "count": (Field.TYPE_INT64, None),
        "warm": (Field.TYPE_FLOAT, None),
        "mode": (Field.TYPE_ENUM, ".wakeful.test.Mode"),
        "inner": (Field.TYPE_MESSAGE, ".wakeful.test.Inner"),
        "price": (Field.TYPE_MESSAGE, ".confluent.type.Decimal"),
    }
    for number, (name, (kind, of)) in enumerate(kinds.items(), 1):
        label = Field.LABEL_OPTIONAL
        event.field.add(name=name, number=number, type=kind, type_name=of, label=label)
    event.field.add(name="tags", number=20, type=Field.TYPE_STRING, label=Field.LABEL_REPEATED)
    return file


@cache
def event_class() -> Any:
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(_file().SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("wakeful.test.Event"))


def as_moment(micros: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)


def as_json(event: dict[str, Any]) -> bytes:
    warm = float(str(np.float32(event["warm"])))
    told = {
        **event,
        "time": as_moment(event["time"]).isoformat(),
        "warm": warm,
        "price": float(event["price"]),
    }
    return json.dumps({name: told[name] for name in SOME}).encode()


def as_message(event: dict[str, Any]) -> Any:
    unscaled = int(event["price"].scaleb(3))
    seconds, micros = divmod(event["time"], 10**6)
    plain = {name: event[name] for name in ("stream", "value", "count", "warm", "mode", "tags")}
    message = event_class()(**plain)
    message.time.seconds, message.time.nanos = seconds, micros * 1000
    message.inner.value = event["inner"]["value"]
    message.price.value = unscaled.to_bytes(8, "big", signed=True)
    message.price.scale = 3
    if event["load"] is not None:
        message.load.value = event["load"]
    return message


@pytest.fixture(scope="module")
def registered() -> Iterator[Registered]:
    with running_registry() as running:
        yield running


@pytest.fixture
def own() -> Iterator[Registered]:
    """A registry of the test's own."""
    with running_registry() as running:
        yield running


def client(registered: Registered) -> Any:
    return SchemaRegistryClient({"url": registered.url})


def framed(serializer: Any, value: object, topic: str, key: bool = False) -> bytes:
    field = MessageField.KEY if key else MessageField.VALUE
    data: bytes = serializer(value, SerializationContext(topic, field))
    return data


def avro(registered: Registered, schema: object, value: object, subject: str = "events") -> bytes:
    return framed(AvroSerializer(client(registered), json.dumps(schema)), value, subject)


def record(**fields: object) -> dict[str, object]:
    """The schema of a record of these fields."""
    kinds = [{"name": name, "type": kind} for name, kind in fields.items()]
    return {"type": "record", "name": "R", "fields": kinds}


def unpacked_by(registered: Registered, credentials: str | None = None) -> Wire:
    asked = Registry(registered.url, credentials, ssl.create_default_context())
    return Wire(asked, MOST_BYTES)


def decoded(
    registered: Registered,
    values: Sequence[bytes | None],
    keys: Sequence[bytes] | None = None,
    features: tuple[str, ...] = (),
) -> Decoded:
    decoder = JsonDecoder("d", FIELDS, LIMITS, unpacked_by(registered).unpack)
    return decoder.decode(raw_batch(values, keys=keys), features)


class Forms:
    """Writes events as JSON, in Avro, in Protobuf and by JSON Schema."""

    def __init__(self, registered: Registered) -> None:
        asked = client(registered)
        self.avro = AvroSerializer(asked, json.dumps(AVRO))
        self.protobuf = ProtobufSerializer(event_class(), asked, {"use.deprecated.format": False})
        self.frame = struct.pack(">bI", 0, json_schema(registered))

    def of(self, rows: list[dict[str, Any]]) -> list[list[bytes]]:
        bodies = [as_json(event) for event in rows]
        timed = [{**event, "time": as_moment(event["time"])} for event in rows]
        return [
            bodies,
            [framed(self.avro, event, "as-avro") for event in timed],
            [framed(self.protobuf, as_message(event), "as-protobuf") for event in rows],
            [self.frame + body for body in bodies],
        ]


@pytest.fixture(scope="module")
def forms(registered: Registered) -> Forms:
    return Forms(registered)


def json_schema(registered: Registered) -> int:
    return registered.register("as-json", {"schemaType": "JSON", "schema": '{"type": "object"}'})


@cache
def _detector() -> Detector:
    return build_detector("default", DetectorSettings(), LimitSettings())


def outcome(unpack: Wire, batch: RawBatch) -> str:
    """What a batch comes to, to the digit: each event with its id and scores, and categories."""
    detector = _detector().another("fresh", ())
    detector.decoder = JsonDecoder("default", detector.decoder.fields, LIMITS, unpack.unpack)
    scored = detector.process(batch).delivery.scored
    assert len(scored) > 0
    ids = [event_id("default", batch.partition, int(offset)) for offset in scored.offsets]
    results = [result_of(scored, i) for i in range(len(scored))]
    read = JsonDecoder("default", FIELDS, LIMITS, unpack.unpack).decode(batch, ())
    return repr((ids, results, scored.scores.tolist(), read.events.categories.tolist()))


@settings(max_examples=15, deadline=None)
@given(rows=st.lists(EVENTS, min_size=1, max_size=8))
def test_an_event_has_the_same_id_and_scores_in_every_format(
    registered: Registered, forms: Forms, rows: list[dict[str, Any]]
) -> None:
    unpack = unpacked_by(registered)
    first, *others = (outcome(unpack, raw_batch(form)) for form in forms.of(rows))
    assert others == [first] * 3


def test_records_of_all_forms_may_be_in_one_batch(registered: Registered, forms: Forms) -> None:
    values = [part[0] for part in forms.of([SOME])]
    found = decoded(registered, [*values, None, b"{"])
    assert found.events.offsets.tolist() == [0, 1, 2, 3]
    assert np.all(found.events.values == found.events.values[0])
    assert [letter.offset for letter in found.dead_letters] == [4, 5]


def test_a_producer_changes_its_schema(own: Registered) -> None:
    values = [
        avro(own, record(load="int"), {"load": 1}),
        avro(own, record(load="int", temp=["null", "double"]), {"load": 2, "temp": 20.5}),
        avro(own, record(cpu="int", temp=["null", "double"]), {"cpu": 3, "temp": None}),
        avro(own, record(cpu="double", temp=["null", "double"]), {"cpu": 4.5, "temp": 21.0}),
        avro(own, record(cpu="double"), {"cpu": 5.5}),
        avro(own, record(load="int"), {"load": 6}),
    ]
    found = decoded(own, values, keys=[b"s"] * 6)
    assert found.dead_letters == []
    assert found.features == ("load", "temp", "cpu")
    nan = float("nan")
    expected = [
        [1, nan, nan], [2, 20.5, nan], [nan, nan, 3], [nan, 21, 4.5], [nan, nan, 5.5], [6, nan, nan]
    ]  # fmt: skip
    np.testing.assert_array_equal(found.events.values, expected)


def test_a_schema_is_asked_for_once(own: Registered) -> None:
    unpack = unpacked_by(own)
    batches = [raw_batch([avro(own, record(a="int"), {"a": n})] * 3) for n in range(3)]
    for batch in batches:
        unpack.unpack(batch)
    assert own.asked.count("/schemas/ids/1") == 1


def test_so_many_schemas_are_kept_and_no_more(
    own: Registered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "SCHEMAS", 2)
    unpack = unpacked_by(own)
    values = [avro(own, record(**{name: "int"}), {name: 1}, name) for name in "abc"]
    own.asked.clear()
    for value in [*values, values[2], values[0]]:
        assert unpack.unpack(raw_batch([value]))[1] == {}
    numbers = [int(path.rsplit("/", 1)[1]) for path in own.asked]
    assert numbers == [1, 2, 3, 1]


def test_a_schema_that_is_not_there_is_not_asked_for_with_every_record(own: Registered) -> None:
    unpack = unpacked_by(own)
    for _ in range(3):
        unpack.unpack(raw_batch([b"\0\0\0\0\7", b"\0\0\0\0\7x"]))
    assert own.asked == ["/schemas/ids/7"]


def test_an_id_that_none_can_have_is_not_asked_for(own: Registered) -> None:
    values = [struct.pack(">bI", 0, number) for number in (2**31 - 1, 2**31, 2**32 - 1)]
    refused = unpacked_by(own).unpack(raw_batch(values))[1]
    assert [one.reason for one in refused.values()] == ["bad_schema"] * 3
    assert own.asked == [f"/schemas/ids/{2**31 - 1}"]


def unknown(*numbers: int) -> list[bytes]:
    """Records of schemas that are not there."""
    return [struct.pack(">bI", 0, 100 + number) for number in numbers]


def test_schemas_that_are_not_there_take_no_room_of_those_that_are(
    own: Registered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "SCHEMAS", 2)
    unpack = unpacked_by(own)
    good = avro(own, record(a="int"), {"a": 1})
    own.asked.clear()
    for values in ([good], unknown(*range(5)), [good]):
        unpack.unpack(raw_batch(values))
    assert own.asked.count("/schemas/ids/1") == 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The time by which schemas are asked for."""
    now = [1000.0]
    monkeypatch.setattr(wire, "time", SimpleNamespace(monotonic=lambda: now[0]))
    yield now


def test_a_schema_that_came_to_be_there_is_found_after_a_minute(
    own: Registered, clock: list[float]
) -> None:
    unpack, value = unpacked_by(own), struct.pack(">bIb", 0, 1, 2)
    assert list(unpack.unpack(raw_batch([value]))[1]) == [0]
    own.register("a", {"schema": json.dumps(record(a="int"))})
    for seconds, refused in ((59.0, [0]), (2.0, [])):
        clock[0] += seconds
        assert list(unpack.unpack(raw_batch([value]))[1]) == refused


def test_a_flood_of_unknown_schemas_slows_down_and_loses_nothing(
    own: Registered, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "MOST_REFUSED", 3)
    unpack = unpacked_by(own)
    known = avro(own, record(a="int"), {"a": 1})
    new = avro(own, record(b="int"), {"b": 1}, "new")
    unpack.unpack(raw_batch([known]))
    own.asked.clear()
    flood = raw_batch([*unknown(*range(8)), known, new])
    for asked in (3, 6):
        with pytest.raises(Unavailable, match=r"kafka\.schema_registry\.url"):
            unpack.unpack(flood)
        assert len(own.asked) == asked
        clock[0] += 60.0
    found, refused = unpack.unpack(flood)
    assert sorted(refused) == list(range(8))
    assert [found.value(8), found.value(9)] == [b'{"a":1}', b'{"b":1}']


def test_what_cannot_be_read_is_a_dead_letter_with_its_bytes(own: Registered) -> None:
    good = avro(own, record(a="int", text="string"), {"a": 1, "text": "abc"})
    own.register("odd", {"schemaType": "THRIFT", "schema": "struct R {}"})
    values = [
        good, b"\0\0\0\0\x63", good[:-1], good + b"x", b"\0\0\0\0\2", b"\0\0",
        good[:5] + b"x" * MOST_BYTES,
    ]  # fmt: skip
    found = decoded(own, values, keys=[b"s"] * len(values))
    assert [(one.offset, one.reason) for one in found.dead_letters] == [
        (1, "bad_schema"), (2, "bad_payload"), (3, "bad_payload"), (4, "bad_schema"),
        (5, "malformed_json"), (6, "too_large"),
    ]  # fmt: skip
    assert [one.value for one in found.dead_letters] == values[1:]
    assert {(one.partition, one.key) for one in found.dead_letters} == {(("events", 0), b"s")}
    assert "99" in found.dead_letters[0].detail
    assert "THRIFT" in found.dead_letters[3].detail


@settings(max_examples=60, deadline=None)
@given(payloads=st.lists(st.tuples(st.integers(0, 4), st.binary(max_size=30)), max_size=6))
def test_any_bytes_become_an_event_or_a_dead_letter(
    registered: Registered, forms: Forms, payloads: list[tuple[int, bytes]]
) -> None:
    forms.of([SOME])  # what registers the schemas, from 1 up
    values = [struct.pack(">bI", 0, number) + body for number, body in payloads]
    found = decoded(registered, values, keys=[b"s"] * len(values))
    letters = [letter.offset for letter in found.dead_letters]
    assert sorted([*found.events.offsets.tolist(), *letters]) == list(range(len(values)))
    assert all(letter.reason in REASONS for letter in found.dead_letters)
    assert [one.value for one in found.dead_letters] == [values[offset] for offset in letters]


LAUGHS = {
    "type": "record",
    "name": "L1",
    "fields": [{"name": f"f{n}", "type": "null"} for n in range(200)],
}
HOSTILE = {
    "a part of itself": record(next=["null", "R"]),
    "its array may have more than 4 parts": record(many={"type": "array", "items": "null"}),
    "array may have": record(many={"type": "array", "items": ["null", LAUGHS]}),
    "its map may have": record(many={"type": "map", "values": LAUGHS}),
    "a name of 256 letters": record(
        many={"type": "array", "items": {"type": "enum", "name": "E", "symbols": ["e" * 256]}}
    ),
    "more than": record(first=LAUGHS, **{f"f{n}": "L1" for n in range(100)}),
}


@pytest.mark.parametrize("why", HOSTILE)
def test_a_schema_by_which_few_bytes_would_keep_us_busy_is_not_read_by(
    own: Registered, why: str
) -> None:
    number = own.register("hostile", {"schema": json.dumps(HOSTILE[why])})
    values = [struct.pack(">bI", 0, number) + b"\2" * 1000]
    (letter,) = decoded(own, values).dead_letters
    assert letter.reason == "bad_schema"
    assert why in letter.detail


def test_what_is_larger_in_json_than_a_record_may_be_is_refused(own: Registered) -> None:
    """A letter without a glyph is six letters there."""
    kinds = record(stream="string", a="int", text="string")
    values = [
        avro(own, kinds, {"stream": "s", "a": 1, "text": "\1" * n}) for n in (10, MOST_BYTES // 2)
    ]
    (letter,) = decoded(own, values).dead_letters
    assert (letter.offset, letter.reason) == (1, "too_large")
    assert f"bytes in JSON, at most {MOST_BYTES}" in letter.detail


@pytest.mark.parametrize("kind", ["fields", "symbols"])
def test_bytes_that_are_very_many_in_json_are_not_read_to_their_end(
    own: Registered, kind: str
) -> None:
    """Two of them are a message of a hundred fields, one of them a symbol of a thousand letters."""
    file = FileDescriptorProto(name="many.proto", syntax="proto3")
    many, item = file.message_type.add(name="Many"), file.message_type.add(name="Item")
    for n in range(100):
        item.field.add(
            name=f"f{n}", number=n + 1, type=Field.TYPE_DOUBLE, label=Field.LABEL_OPTIONAL
        )
    file.enum_type.add(name="Long").value.add(name="L" * 1000, number=0)
    repeated: dict[str, Any] = {"label": Field.LABEL_REPEATED}
    many.field.add(name="items", number=1, type=Field.TYPE_MESSAGE, type_name=".Item", **repeated)
    many.field.add(name="longs", number=2, type=Field.TYPE_ENUM, type_name=".Long", **repeated)
    text = b64encode(file.SerializeToString()).decode()
    number = own.register("many", {"schemaType": "PROTOBUF", "schema": text})
    body = b"\x0a\0" * 900 if kind == "fields" else b"\x12\x64" + bytes(100)
    (letter,) = decoded(own, [struct.pack(">bIb", 0, number, 0) + body], [b"s"]).dead_letters
    assert letter.reason == "too_large"
    assert letter.detail == f"more than {MOST_BYTES} bytes in JSON"


def test_schemas_that_take_long_are_waited_for_so_long_and_kept(
    own: Registered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits longer can neither be asked nor stopped."""
    kinds = [json.dumps(record(**{f"f{n}": "int"})) for n in range(3)]
    numbers = [own.register(f"s{n}", {"schema": kind}) for n, kind in enumerate(kinds)]
    batch = raw_batch([struct.pack(">bI", 0, number) + b"\2" for number in numbers])
    slow, tries = unpacked_by(own), 0
    real = slow._made

    def made(number: int) -> Any:
        slow._until = 0.0  # the first of a try took all of its time
        return real(number)

    monkeypatch.setattr(slow, "_made", made)
    monkeypatch.setattr(wire, "SECONDS", 60.0)
    while True:
        try:
            found, refused = slow.unpack(batch)
            break
        except Unavailable as error:
            assert "schema registry: the schemas of a batch took it" in str(error)
            tries += 1
    assert (tries, refused) == (2, {})
    assert [json.loads(found.value(i) or b"") for i in range(3)] == [{f"f{n}": 1} for n in range(3)]


def test_what_others_need_is_had_once(own: Registered) -> None:
    """However often a schema is begun anew: it may have a hundred, and the registry be slow."""
    own.register("part", {"schema": json.dumps({**record(a="int"), "name": "Part"})})
    references = [{"name": "Part", "subject": "part", "version": 1}]
    whole = own.register(
        "whole", {"schema": json.dumps(record(p="Part")), "references": references}
    )
    asked = Registry(own.url, None, ssl.create_default_context())
    for _ in range(2):
        asked.referenced(asked.schema(whole))
    assert sum("/subjects/part/" in path for path in own.asked) == 1


def test_what_somebody_supposes_asks_no_registry(own: Registered) -> None:
    """Else who may only look could keep it busy, and the pipeline waiting."""
    detector = build_detector(
        "d", DetectorSettings(features=["a"]), LimitSettings(), unpack=unpacked_by(own).unpack
    )
    detector.process(raw_batch([b'{"stream": "s", "a": 1}']))
    supposed = detector.what_if("s", raw_batch([struct.pack(">bI", 0, 7) + b"\2"]))
    assert supposed is not None
    assert [one.reason for one in supposed.dead_letters] == ["malformed_json"]
    assert own.asked == []


def test_a_key_and_a_password_are_not_told() -> None:
    asked = Registry("http://registry", "u:secret", ssl.create_default_context())
    assert "secret" not in repr(asked)


@pytest.mark.parametrize(
    ("kind", "key", "stream"),
    [
        ("string", "ü", "ü"), ("long", 7, "7"), ("bytes", b"b", "b"),
        (record(id="int"), {"id": 7}, "field"), ("boolean", True, "field"),
    ],
)  # fmt: skip
def test_a_key_in_the_wire_format_names_the_stream_where_it_is_a_text_or_a_number(
    own: Registered, kind: object, key: object, stream: str
) -> None:
    serializer = AvroSerializer(client(own), json.dumps(kind))
    value = avro(own, record(stream="string", a="int"), {"stream": "field", "a": 1})
    keys = [framed(serializer, key, "events", key=True)]
    assert list(decoded(own, [value], keys).events.streams) == [stream]


@pytest.mark.parametrize(("key", "stream"), [("k", "k"), (7, "7"), ({"id": 1}, "field")])
def test_a_key_of_json_schema_does_too(own: Registered, key: object, stream: str) -> None:
    frame = struct.pack(">bI", 0, json_schema(own))
    found = decoded(
        own, [frame + b'{"stream": "field", "a": 1}'], [frame + json.dumps(key).encode()]
    )
    assert list(found.events.streams) == [stream]


def test_a_key_that_cannot_be_read_is_a_dead_letter(own: Registered) -> None:
    key = avro(own, "string", "abc")[:-1]
    (letter,) = decoded(own, [b'{"a": 1}'], [key]).dead_letters
    assert (letter.reason, letter.key) == ("bad_payload", key)


def test_json_schemas_records_are_as_confluents_serializer_writes_them(own: Registered) -> None:
    schema = json.dumps({"title": "E", "type": "object", "properties": {"a": {"type": "number"}}})
    serializer = JSONSerializer(schema, client(own))
    found = decoded(own, [framed(serializer, {"a": 1.5}, "events")], [b"s"])
    assert found.events.values.tolist() == [[1.5]]


def test_schemas_may_refer_to_others(own: Registered) -> None:
    schemas = client(own)
    schemas.register_schema("level", Schema(json.dumps({
        "type": "enum", "name": "test.Level", "symbols": MODES,
    }), "AVRO"))  # fmt: skip
    fields = [{"name": "l", "type": "test.Level"}]
    mode = Schema(
        json.dumps({"type": "record", "name": "test.Mode", "fields": fields}), "AVRO",
        [SchemaReference("test.Level", "level", 1)],
    )  # fmt: skip
    schemas.register_schema("mode", mode)
    whole = Schema(
        json.dumps(record(mode="test.Level", inner="test.Mode", a="int")), "AVRO",
        [SchemaReference("test.Mode", "mode", 1), SchemaReference("test.Level", "level", 1)],
    )  # fmt: skip
    number = schemas.register_schema("whole", whole)
    found = decoded(own, [struct.pack(">bI", 0, number) + b"\2\0\6"], [b"s"])
    assert found.events.values.tolist() == [[3.0]]
    assert found.events.categories.tolist() == [[bucket_of("ON")]]


def test_a_protobuf_file_may_import_others(own: Registered) -> None:
    part = FileDescriptorProto(name="part.proto", package="p", syntax="proto3")
    part.message_type.add(name="Part").field.add(
        name="x", number=1, type=Field.TYPE_INT32, label=Field.LABEL_OPTIONAL
    )
    whole = FileDescriptorProto(name="whole.proto", package="p", syntax="proto3")
    whole.dependency.extend(["part.proto", "confluent/meta.proto", "confluent/type/decimal.proto"])
    outer = whole.message_type.add(name="Other")
    message = outer.nested_type.add(name="Whole")
    message.field.add(name="a", number=1, type=Field.TYPE_INT32, label=Field.LABEL_OPTIONAL)
    message.field.add(
        name="p", number=2, type=Field.TYPE_MESSAGE, type_name=".p.Part", label=Field.LABEL_OPTIONAL
    )
    texts = [b64encode(one.SerializeToString()).decode() for one in (part, whole)]
    own.register("part", {"schemaType": "PROTOBUF", "schema": texts[0]})
    references = [{"name": "part.proto", "subject": "part", "version": 1}]
    number = own.register(
        "whole", {"schemaType": "PROTOBUF", "schema": texts[1], "references": references}
    )
    frame = struct.pack(">bI", 0, number)
    nested = b"\4\0\0"  # two indexes: the first message's first
    found = decoded(own, [frame + nested + b"\x08\x05\x12\x02\x08\x07"], [b"s"])
    assert found.features == ("a",)
    assert found.events.values.tolist() == [[5.0]]
    (letter,) = decoded(own, [frame + b"\2\6" + b"\x08\x05"], [b"s"]).dead_letters
    assert (letter.reason, "no message [3]" in letter.detail) == ("bad_payload", True)


def test_a_time_beyond_every_calendar_matters_only_where_it_is_the_events(own: Registered) -> None:
    never = {"type": "long", "logicalType": "timestamp-millis"}
    frames = [
        avro(own, record(a="int", until=never), {"a": 1, "until": FAR}),
        avro(own, record(a="int", time=never), {"a": 1, "time": FAR}, "other"),
    ]
    found = decoded(own, frames, [b"s", b"s"])
    assert found.events.offsets.tolist() == [0]
    assert found.features == ("a",)
    assert [letter.reason for letter in found.dead_letters] == ["bad_time"]


@pytest.mark.parametrize("local", ["", "local-"])
@pytest.mark.parametrize(("unit", "ticks"), [("millis", 3), ("micros", 6), ("nanos", 9)])
def test_a_time_of_every_unit_is_the_events(
    own: Registered, local: str, unit: str, ticks: int
) -> None:
    moment = {"type": "long", "logicalType": f"{local}timestamp-{unit}"}
    number = own.register("a", {"schema": json.dumps(record(a="int", time=moment))})
    body = io.BytesIO()
    fastavro.schemaless_writer(
        body, record(a="int", time="long"), {"a": 1, "time": 1_700_000_000_125 * 10**ticks // 1000}
    )
    found = decoded(own, [struct.pack(">bI", 0, number) + body.getvalue()], [b"s"])
    assert found.events.times.tolist() == [1_700_000_000.125]
    assert found.features == ("a",)


FLOAT = {"type": "float", "connect.default": 0.0}
FLOATS: list[tuple[Any, Any]] = [
    ("float", 20.1),
    (FLOAT, 20.1),
    (["null", FLOAT], 20.1),
    (["float", "int"], 20.1),
    (["null", "float", "string"], 20.1),
    ({"type": "array", "items": ["null", "float"]}, [20.1, None]),
    ({"type": "map", "values": FLOAT}, {"x": 20.1}),
    ({**record(x="float"), "name": "Inner"}, {"x": 20.1}),
]


@pytest.mark.parametrize(("kind", "value"), FLOATS)
def test_a_float_is_as_it_is_written_wherever_it_is(
    own: Registered, kind: object, value: object
) -> None:
    within = avro(own, record(x=kind), {"x": value})
    alone = avro(own, kind, value, "alone")
    found, refused = unpacked_by(own).unpack(raw_batch([within, alone]))
    assert refused == {}
    assert [json.loads(found.value(i) or b"") for i in range(2)] == [{"x": value}, value]


def test_a_record_may_be_one_of_several_that_are_elsewhere(own: Registered) -> None:
    """As where a topic has records of several kinds."""
    kinds = [{**record(x="float"), "name": name} for name in ("test.A", "test.B")]
    for kind in kinds:
        own.register(kind["name"], {"schema": json.dumps(kind)})  # type: ignore[arg-type]
    references = [{"name": f"test.{n}", "subject": f"test.{n}", "version": 1} for n in "AB"]
    number = own.register("all", {"schema": '["test.A", "test.B"]', "references": references})
    values = [struct.pack(">bIb", 0, number, 2) + struct.pack("<f", 20.1)]
    found, refused = unpacked_by(own).unpack(raw_batch(values))
    assert refused == {}
    assert found.value(0) == b'{"x":20.1}'


@pytest.mark.parametrize("kind", ["bytes", "fixed"])
@pytest.mark.parametrize(("length", "told"), [(64, None), (65, "bad_payload")])
def test_a_decimal_has_so_many_digits_and_no_more(
    own: Registered, kind: str, length: int, told: str | None
) -> None:
    digits = b"\1" + bytes(length - 1)
    decimal = {"logicalType": "decimal", "precision": 153, "scale": 3, "type": kind}
    if kind == "fixed":
        decimal |= {"name": "F", "size": length}
    number = own.register("a", {"schema": json.dumps(record(x=decimal))})
    body = io.BytesIO()
    plain = {name: decimal[name] for name in ("type", "name", "size") if name in decimal}
    fastavro.schemaless_writer(body, record(x=plain), {"x": digits})
    batch = raw_batch([struct.pack(">bI", 0, number) + body.getvalue()])
    found, refused = unpacked_by(own).unpack(batch)
    assert [one.reason for one in refused.values()] == [told] * (told is not None)
    if told is None:
        (value,) = json.loads(found.value(0) or b"").values()
        assert value == pytest.approx(256.0 ** (length - 1) / 1000)


def test_a_decimal_of_protobuf_does_too(own: Registered) -> None:
    serializer = ProtobufSerializer(event_class(), client(own), {"use.deprecated.format": False})
    messages = [as_message(SOME) for _ in range(2)]
    for message, length in zip(messages, (64, 65), strict=True):
        message.price.value = b"\1" + bytes(length - 1)
    batch = raw_batch([framed(serializer, message, "events") for message in messages])
    refused = unpacked_by(own).unpack(batch)[1]
    assert {i: one.reason for i, one in refused.items()} == {1: "bad_payload"}


def test_what_is_no_number_is_missing(own: Registered) -> None:
    kinds = record(a="int", x="double", y="float")
    value = avro(own, kinds, {"a": 1, "x": float("nan"), "y": float("inf")})
    found = decoded(own, [value], [b"s"], ("a", "x", "y"))
    np.testing.assert_array_equal(found.events.values, [[1, np.nan, np.nan]])


def _refuse(registered: Registered, **how: object) -> None:
    for name, value in how.items():
        setattr(registered, name, value)


TROUBLES: dict[str, dict[str, Any]] = {
    "no-500": {"status": 500}, "no-429": {"status": 429}, "no-403": {"status": 403},
    "moved": {"status": 301, "headers": {"Location": "http://127.0.0.1:1/"}},
    "password": {"credentials": "u:p"}, "other": {"body": b"<html>"}, "not-it": {"body": b"{}"},
    "silent": {"slow": True},
}  # fmt: skip
SAID = {
    "no-500": "answered 500", "no-429": "answered 429", "no-403": "kafka.schema_registry.username",
    "moved": "answered 301", "password": "answered 401", "other": "kafka.schema_registry.url",
    "not-it": "kafka.schema_registry.url", "silent": "no answer",
}  # fmt: skip


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_registry_that_cannot_say_now_is_waited_for(
    own: Registered, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(over_http, "SECONDS", 0.3)
    value = avro(own, record(a="int"), {"a": 1})
    _refuse(own, **TROUBLES[trouble])
    unpack = unpacked_by(own)
    with pytest.raises(Unavailable, match="schema registry http://127") as raised:
        unpack.unpack(raw_batch([value]))
    assert SAID[trouble] in str(raised.value)
    _refuse(own, **{name: getattr(Registered(), name) for name in TROUBLES[trouble]})
    assert unpack.unpack(raw_batch([value]))[1] == {}


def test_a_wrong_address_rejects_no_record(own: Registered) -> None:
    value = avro(own, record(a="int"), {"a": 1})
    elsewhere = Registry(f"{own.url}/elsewhere", None, ssl.create_default_context())
    with pytest.raises(Unavailable, match=r"answered 404 .* to /schemas/ids/1;"):
        Wire(elsewhere, MOST_BYTES).unpack(raw_batch([value]))


def test_the_password_is_shown_and_not_told(own: Registered) -> None:
    value = avro(own, record(a="int"), {"a": 1})
    own.credentials = "user:ü secret"
    assert unpacked_by(own, own.credentials).unpack(raw_batch([value]))[1] == {}
    with pytest.raises(Unavailable) as raised:
        unpacked_by(own, "user:wrong").unpack(raw_batch([value]))
    assert "wrong" not in str(raised.value)


def set_to(section: dict[str, str]) -> Settings:
    kafka = {"bootstrap_servers": ["127.0.0.1:1"], "schema_registry": section}
    return load_settings(None, {"kafka": kafka})


def test_its_certificate_is_trusted_by_the_authority_that_is_set(tmp_path: Path) -> None:
    made = self_signed(tmp_path)
    with running_registry(made.whole) as safe:
        number = safe.register("a", {"schema": json.dumps(record(a="int"))})
        batch = raw_batch([struct.pack(">bI", 0, number) + b"\2"])
        with pytest.raises(Unavailable, match=r"set kafka\.schema_registry\.ca_file"):
            unpacked_by(safe).unpack(batch)
        trusting = {"url": safe.url, "ca_file": str(made.authority)}
        unpack = unpacking(set_to(trusting))
        assert unpack is not None
        assert unpack(batch)[0].value(0) == b'{"a":1}'


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"url": "https://u:p@registry"}, "kafka.schema_registry.url"),
        ({"url": "registry:8081"}, "kafka.schema_registry.url"),
        ({"url": "http://r", "username": "u"}, "go together"),
        ({"url": "http://r", "password": "p"}, "go together"),
        ({"username": "u", "password": "p"}, "url"),
        ({"url": "http://r", "username": "u", "password_file": "/not/there"}, "password_file"),
        ({"url": "http://r", "ca_file": "/not/there"}, "kafka.schema_registry.ca_file"),
        ({"address": "http://r"}, "there are url, username"),
    ],
)
def test_settings_that_do_not_go_together_are_said(section: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=r"kafka\.schema_registry") as raised:
        unpacking(set_to(section))
    assert said in str(raised.value)


def test_a_registry_that_does_not_answer_is_not_taken_while_we_run(
    own: Registered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trouble, "check", lambda _: None)  # the brokers do
    own.credentials = "u:p"
    none, stranger = load_settings(None, {}), set_to({"url": own.url})
    known = set_to({"url": own.url, "username": "u", "password": "p"})
    known = known.model_copy(update={"data_dir": tmp_path})
    with pytest.raises(SettingsError, match=r"^kafka\.schema_registry\.url: .*answered 401"):
        check_change(none, Secrets.of(none), stranger)
    check_change(none, Secrets.of(none), known)
    own.status = 503
    with pytest.raises(SettingsError, match="answered 503"):
        check_change(none, Secrets.of(none), known)
    check_change(known, Secrets.of(known), known)  # one that was there before is waited for


def test_a_registrys_password_that_is_another_one_in_its_file_is_tried(
    own: Registered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trouble, "check", lambda _: None)  # the brokers do
    own.credentials = "u:right"
    file = tmp_path / "password"
    file.write_text("right\n", encoding="utf-8")
    settings = set_to({"url": own.url, "username": "u", "password_file": str(file)})
    settings = settings.model_copy(update={"data_dir": tmp_path})
    held = Secrets.of(settings)
    check_change(settings, held, settings)
    file.write_text("wrong\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"^kafka\.schema_registry\.url: .*answered 401"):
        check_change(settings, held, settings)


def test_what_has_to_be_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "service.decoding.wire")
    monkeypatch.delitem(sys.modules, "service.decoding.avro")
    monkeypatch.setitem(sys.modules, "fastavro", None)
    with pytest.raises(SettingsError, match=r"pip install -e '\.\[schema-registry\]'"):
        unpacking(set_to({"url": "http://registry"}))


def test_the_pipeline_waits_for_the_registry_and_loses_nothing(own: Registered) -> None:
    values = [avro(own, record(a="int"), {"a": n}) for n in range(20)]
    own.status = 503
    pipeline, collected = make_pipeline(
        [raw_batch(values, keys=[b"s"] * 20)], unpack=unpacked_by(own).unpack
    )
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    try:
        while "answered 503" not in (pipeline.waiting_for or ""):
            assert thread.is_alive()
            thread.join(0.02)
        assert collected.scored == 0
    finally:
        own.status = None
        thread.join()
    assert collected.scored == 20
    assert collected.reasons == []


def test_without_a_registry_its_records_are_said_to_be_such() -> None:
    found = JsonDecoder("d", FIELDS, LIMITS).decode(raw_batch([b"\0\0\0\0\1abc"]), ())
    assert "kafka.schema_registry.url" in found.dead_letters[0].detail
