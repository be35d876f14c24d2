"""Avro records -> what the same record is in JSON.

Records are read by the schema that they were written with: a field that was renamed has its new
name, as in JSON.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from itertools import count
from typing import Any

import fastavro
import numpy as np
from fastavro.read import LOGICAL_READERS

MOST_PARTS = 10_000  # of a schema whose names are all written out
PARTS_A_BYTE = 4  # of what may come any number of times, at most
LONGEST_NAME = 255  # of a field or a symbol
LEAST_BYTES = {"null": 0, "float": 4, "double": 8}  # of others 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RECORDS = ("record", "error")
INNER = {"array": "items", "map": "values"}
TICKS = {"millis": 10**3, "micros": 10**6, "nanos": 10**9}
MOST_DECIMAL_BYTES = 64  # 153 digits; the time to read one grows with their square
OURS, SHORTEST = "wakeful-", "float-shortest"  # what our logical types begin with; every float's
ROOT = "the schema of a record"  # no schema can have this name

Read = Callable[[bytes], object]


def avro_reader(text: str, referenced: Iterable[str]) -> Read:
    """Reads records of a schema; `referenced` are the schemas that it needs. ValueError where it
    is one that nobody should read by."""
    named: dict[str, Any] = {}
    for one in referenced:
        _marked(fastavro.parse_schema(json.loads(one), named))
    own = json.loads(text)
    if own in ("bytes", {"type": "bytes"}):
        return lambda payload: payload  # Confluent's serializers write them without a length
    # Within a record, which takes no byte, the library keeps what it knows of the names.
    field = {"name": "value", "type": own}
    schema: Any = fastavro.parse_schema({"type": "record", "name": ROOT, "fields": [field]}, named)
    _check(schema, named, (), count())
    _marked(schema)

    def read(payload: bytes) -> object:
        body = BytesIO(payload)
        value: Any = fastavro.schemaless_reader(body, schema, None)
        if left := len(payload) - body.tell():
            raise ValueError(f"{left} bytes are left over")
        return value["value"]

    return read


def shortest(value: float) -> float:
    """A number of 32 bits as JSON has it: 0.1, not 0.10000000149011612."""
    return float(str(np.float32(value)))


def moment(value: int, per_second: int) -> object:
    """Ticks since 1970 as a time; as a text that is none where no calendar has it."""
    try:
        return EPOCH + timedelta(microseconds=value * 10**6 // per_second)
    except OverflowError:
        return f"{value} ticks of 1/{per_second} s since 1970"


def decimal(unscaled: bytes, scale: int) -> Decimal:
    """A number by its digits in two's complement, and how many are behind the point."""
    if len(unscaled) > MOST_DECIMAL_BYTES:
        raise ValueError(f"a decimal of {len(unscaled)} bytes, at most {MOST_DECIMAL_BYTES}")
    return Decimal(int.from_bytes(unscaled, "big", signed=True)).scaleb(-scale)


def _reader_of_moments(per_second: int) -> Callable[..., object]:
    return lambda value, *_: moment(value, per_second)


def _decimal(unscaled: bytes, schema: Any, *_: object) -> Decimal:
    return decimal(unscaled, schema.get("scale", 0))


# The library has one table of how logical types are read, for everyone: ours are under names of our
# own. Its times fail beyond the calendar, as those are that stand for "never", its decimals have no
# limit, and of two branches of a union only it knows which is a float.
READERS: dict[str, Callable[..., object]] = {
    SHORTEST: lambda value, *_: shortest(value),
    "bytes-decimal": _decimal,
    "fixed-decimal": _decimal,
}
for _unit, _per_second in TICKS.items():
    READERS[f"long-timestamp-{_unit}"] = _reader_of_moments(_per_second)
    READERS[f"long-local-timestamp-{_unit}"] = _reader_of_moments(_per_second)
for _name, _reader in READERS.items():
    LOGICAL_READERS[f"{_name.split('-')[0]}-{OURS}{_name}"] = _reader


def _marked(schema: Any) -> Any:
    """The parsed schema, changed in place: what we read in our way is of logical types of ours."""
    if isinstance(schema, list):
        schema[:] = [_marked(one) for one in schema]
    elif schema == "float":
        return {"type": "float", "logicalType": OURS + SHORTEST}
    elif isinstance(schema, dict):
        kind = schema["type"]
        name = SHORTEST if kind == "float" else f"{kind}-{schema.get('logicalType')}"
        for field in schema["fields"] if kind in RECORDS else ():
            field["type"] = _marked(field["type"])
        if kind in INNER:
            schema[INNER[kind]] = _marked(schema[INNER[kind]])
        elif name in READERS:
            schema["logicalType"] = OURS + name
    return schema


def _check(
    schema: Any, named: dict[str, Any], within: tuple[str, ...], seen: Iterator[int]
) -> None:
    """ValueError where a few bytes could keep us busy, or a record could go as deep as it likes:
    the library would crash on that one."""
    kind, schema = _kind(schema, named)
    if next(seen) >= MOST_PARTS:
        raise ValueError(f"it has more than {MOST_PARTS} parts")
    if kind in RECORDS:
        if schema["name"] in within:
            raise ValueError(f"{schema['name']} is a part of itself, which is not supported")
        within = (*within, schema["name"])
    for name in _names(kind, schema):
        if len(name) > LONGEST_NAME:
            raise ValueError(f"it has a name of {len(name)} letters, at most {LONGEST_NAME}")
    for part in _parts(kind, schema):
        _check(part, named, within, seen)
    if kind in INNER and _beyond(schema[INNER[kind]], named) > (kind == "map") * PARTS_A_BYTE:
        raise ValueError(f"its {kind} may have more than {PARTS_A_BYTE} parts for each byte")


def _beyond(schema: Any, named: dict[str, Any]) -> int:
    """How many parts more its values may have than PARTS_A_BYTE for each of their bytes; where
    this is not above 0 for what is repeated, n bytes are no more parts than that and a schema's."""
    kind, schema = _kind(schema, named)
    if kind in RECORDS:
        return 1 + sum(_beyond(part, named) for part in _parts(kind, schema))
    if kind == "union":
        return max(_beyond(part, named) for part in schema) - PARTS_A_BYTE  # a byte says which
    least = schema["size"] if kind == "fixed" else LEAST_BYTES.get(kind, 1)
    return 1 - PARTS_A_BYTE * int(least)


def _kind(schema: Any, named: dict[str, Any]) -> tuple[str, Any]:
    """The name of its type, and what it is behind other names."""
    if isinstance(schema, list):
        return "union", schema
    if isinstance(schema, str):
        return _kind(named[schema], named) if schema in named else (schema, schema)
    kind = schema["type"]
    return (kind, schema) if isinstance(kind, str) and kind not in named else _kind(kind, named)


def _names(kind: str, schema: Any) -> list[str]:
    """That are told of its values."""
    if kind in RECORDS:
        return [field["name"] for field in schema["fields"]]
    return list(schema["symbols"]) if kind == "enum" else []


def _parts(kind: str, schema: Any) -> list[Any]:
    if kind in RECORDS:
        return [field["type"] for field in schema["fields"]]
    if kind in INNER:
        return [schema[INNER[kind]]]
    return list(schema) if kind == "union" else []
