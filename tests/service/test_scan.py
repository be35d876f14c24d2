"""What is read in columns is what is read one by one, to the bit."""

import json
import math
import random
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.clock import parse_time
from service.decoding.json import Fields, JsonDecoder, Limits
from service.decoding.moment import seconds_of
from service.decoding.number import number_from
from service.decoding.scan import Columns, scan
from tests.service.parts import STORED, raw_batch

LIMITS = Limits(
    max_event_bytes=400, max_stream_bytes=12, max_features=3, max_clock_skew_seconds=3600.0
)
LISTED = JsonDecoder(
    "d",
    Fields("stream", ("time", "ts"), frozenset(), discover=False, categories=("shop",)),
    LIMITS,
)
OPEN = JsonDecoder("d", Fields("stream", ("time", "ts"), frozenset({"id"}), discover=True), LIMITS)
FULL = JsonDecoder(
    "d",
    Fields("stream", ("time", "ts"), frozenset({"id"}), discover=True),
    Limits(400, 12, 2, 3600.0),
)
FEATURES = ("a", "b")

NUMBERS = (
    st.floats(allow_nan=False, allow_infinity=False).map(repr)
    | st.integers(-(10**22), 10**22).map(str)
    | st.from_regex(r"\A-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?\Z")
    | st.sampled_from(["-0", "-0.0", "0", "1e400", "1E5", "01", "+1", ".5", "5.", "1e", "--1"])
)
TIMES = (
    st.datetimes().map(lambda moment: json.dumps(moment.isoformat()))
    | st.from_regex(
        r"\A\"20[0-9]{2}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}"
        r"(\.[0-9]{1,10})?(Z|z|[+-][0-9]{2}:?[0-9]{2})?\"\Z"
    )
    | st.sampled_from([str(STORED), str(STORED * 1000), str(STORED + 3601), "4e9", "-1", '" "'])
)
OTHERS = st.sampled_from(
    [
        "true",
        "false",
        "null",
        '"s"',
        '"é"',
        '"\\n"',
        '""',
        "{}",
        "[1]",
        "nul",
        "NaN",
        '"a b"',
        '"7"',
    ]
)
SPACES = st.sampled_from(["", "", "", " ", "\n\t", "\r", "\x0b"])
NAMES = st.sampled_from(
    ["stream", "stream", "time", "ts", "a", "b", "a", "shop", "id", "c", "", "other", "\\u0061"]
)


@st.composite
def records(draw: st.DrawFn) -> bytes:
    """Objects much like events, some a little odd, a few cut or with a byte changed."""
    fields = []
    for name in draw(st.lists(NAMES, max_size=7)):
        value = draw({"time": TIMES, "ts": TIMES}.get(name, NUMBERS) | OTHERS)
        space = [draw(SPACES) for _ in range(4)]
        fields.append(f'{space[0]}"{name}"{space[1]}:{space[2]}{value}{space[3]}')
    text = (draw(SPACES) + "{" + ",".join(fields) + "}" + draw(SPACES)).encode()
    if text and draw(st.integers(0, 5)) == 0:
        at = draw(st.integers(0, len(text) - 1))
        text = draw(st.sampled_from([text[:at], text[:at] + b"," + text[at + 1 :], text + b"}"]))
    return text


KEYS = st.none() | st.sampled_from([b"k", b"", b"\xff", "ü".encode(), b"a\n", b"x" * 13])


def check_against_one_by_one(
    decoder: JsonDecoder, bodies: list[bytes], keys: list[bytes | None]
) -> int:
    """Every event that was read in columns is the one that `read` makes of it; how many were."""
    raw = raw_batch(bodies, keys=keys)
    places = {name: f for f, name in enumerate(FEATURES)}
    columns = Columns.of(len(raw), len(FEATURES), len(decoder.fields.categories))
    scan(raw.data, raw.keys, raw.values, raw.timestamps, decoder._wanted(places), columns)
    said = columns.events
    for i in np.flatnonzero(said["read"]).tolist():
        event, ignored = decoder.read(keys[i], bodies[i], STORED, places)
        start, length = int(said["stream"][i]), int(said["length"][i])
        assert raw.data[start : start + length].tobytes().decode() == event.stream, bodies[i]
        values = [event.values.get(name, math.nan) for name in FEATURES]
        np.testing.assert_array_equal(
            columns.values[i].view(np.int64), np.array(values).view(np.int64)
        )
        assert set(event.values) <= set(FEATURES)
        assert (said["time"][i], said["timed"][i]) == (event.time, event.timed), bodies[i]
        assert said["ignored"][i] == ignored, bodies[i]
        for (first, size), text in zip(columns.texts[i].tolist(), event.categories, strict=True):
            read = raw.data[first : first + size].tobytes().decode() if size >= 0 else None
            assert read == text, bodies[i]
    return int(said["read"].sum())


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(records(), KEYS), min_size=1, max_size=8),
    st.sampled_from([LISTED, OPEN, FULL]),
)
def test_an_event_read_in_columns_is_the_one_that_is_read_alone(
    given_records: list[tuple[bytes, bytes | None]], decoder: JsonDecoder
) -> None:
    check_against_one_by_one(
        decoder, [body for body, _ in given_records], [key for _, key in given_records]
    )


def usual(seed: int) -> Iterable[bytes]:
    """What producers send: json.dumps of floats, integers, texts, with times of each kind."""
    chance = random.Random(seed)
    times: list[object] = [STORED, int(STORED * 1000), "2025-06-15T15:06:40.25+00:00", None]
    for n in range(2000):
        body = {
            "stream": chance.choice(["web-1", "card 77", f"sensor/{n}", n]),
            "time": chance.choice(times),
            "a": chance.choice([chance.gauss(0, 1), chance.randrange(10**6), 1e-7 * n, None]),
            "b": chance.gauss(0, 1) * 10.0 ** chance.randrange(-12, 12),
            "shop": chance.choice(["s-1", None, "4711"]),
            "note": "text",
            "extra": n,
        }
        separators = chance.choice([(",", ":"), (", ", ": ")])
        yield json.dumps(body, separators=separators).encode()


def test_what_producers_send_is_read_in_columns() -> None:
    bodies = list(usual(1))
    assert check_against_one_by_one(LISTED, bodies, [None] * len(bodies)) == len(bodies)


@pytest.mark.parametrize(
    "body",
    [
        b'{"stream":"s","a":1,"a":2}', b'{"stream":"s","c":1,"c":2,"a":1}',
        b'{"stream":"s","a":1,}',
        b'{"stream":"s" "a":1}', b'{"stream":"s","a":1}x', b'{"stream":"s","a":1', b'{,"a":1}',
        b'{"stream":"s","a":1}{"stream":"s","a":1}', b'[{"stream":"s","a":1}]', b'{"a":1}',
        b'{"stream":"s","a":1,"b":{"c":1}}', b'{"stream":"\\u0073","a":1}', b'{"stream":1.5,"a":1}',
        b'{"stream":"s","a":"1"}', b'{"stream":"s","a":true}', b'{"stream":"s","a":NaN}',
        b'{"stream":"s","a":1,"time":true}', b'{"stream":"s","a":1,"time":"2025-02-29T00:00:00"}',
        b'{"stream":"s","a":1e101}', b'{"stream":"s"}', b'{"stream":"s","a":null}', b"", b"{}",
        b"{",
        b'{"stream":"s","a":1e}', b'{"stream":"s","a":-}', b'{"stream":"s","a":0x1}', b'{"stream',
        b'{"stream":"s","a":1,"time":"2025-13-01T00:00:00"}', b'{"stream":"s","a":tru}', b'{"',
        b'{"stream":"s","a":12345678901234567890}', '{"stream":"ü","a":1}'.encode(), b'{"stream":',
        b'\xef\xbb\xbf{"stream":"s","a":1}', b'{"stream":"s","a":1,"n":"\xff"}', b'{"a":1 2}',
    ],
)  # fmt: skip
def test_what_is_unusual_is_left_to_be_read_alone(body: bytes) -> None:
    assert check_against_one_by_one(LISTED, [body], [None]) == 0


def test_a_batch_of_both_kinds_keeps_its_order() -> None:
    bodies = [b'{"stream":"a","a":1}', b'{"stream":"\\u0062","a":2}', b"{", b'{"stream":"c","a":3}']
    decoded = LISTED.decode(raw_batch(bodies), FEATURES)
    assert list(decoded.events.streams) == ["a", "b", "c"]
    assert decoded.events.values[:, 0].tolist() == [1.0, 2.0, 3.0]
    assert [letter.offset for letter in decoded.dead_letters] == [2]


@settings(max_examples=2000, deadline=None)
@given(st.integers(0, 2**64 - 1), st.integers(-345, 310))
def test_a_number_is_rounded_as_python_rounds_it_or_left(digits: int, power: int) -> None:
    number = number_from(np.uint64(digits), power)
    assert math.isnan(number) or number == float(f"{digits}e{power}")


@settings(max_examples=1000, deadline=None)
@given(st.floats(1e-290, 1e290))
def test_numbers_and_what_is_halfway_between_two_are_rounded_right(number: float) -> None:
    """Their shortest texts are read; where a tie is exact in 19 digits it goes to the even one."""
    digits, _, power = f"{number:.18e}".partition("e")
    found = number_from(np.uint64(int(digits.replace(".", ""))), int(power) - 18)
    assert found == float(f"{number:.18e}")


@given(st.integers(2**53, 2**63 - 1))
def test_an_integer_between_two_floats_goes_to_the_even_one(digits: int) -> None:
    number = number_from(np.uint64(digits | 1), 0)
    assert math.isnan(number) or number == float(digits | 1)


@settings(max_examples=500, deadline=None)
@given(TIMES)
def test_a_time_is_read_as_it_is_alone_or_left(text: str) -> None:
    if not text.startswith('"'):
        return
    data = np.frombuffer(text[1:-1].encode(), np.uint8)
    seconds = seconds_of(data, 0, len(data))
    if not math.isnan(seconds) and 0.0 <= seconds <= 4e9:
        assert seconds == parse_time(text[1:-1])


def test_a_time_of_each_usual_form_is_read() -> None:
    for text in ("2026-11-21T07:00:00Z", "2026-11-21 07:00:00", "2026-11-21T09:30:00.5+02:30"):
        data = np.frombuffer(text.encode(), np.uint8)
        assert seconds_of(data, 0, len(data)) == parse_time(text)
