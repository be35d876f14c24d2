"""What becomes of a record."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.categories import NONE, bucket_of
from service.decoding.json import Fields, JsonDecoder, Limits
from service.records import REASONS
from tests.service.parts import STORED, events, raw_batch

LIMITS = Limits(
    max_event_bytes=1000, max_stream_bytes=20, max_features=4, max_clock_skew_seconds=3600.0
)
LISTED = JsonDecoder(
    "d", Fields("stream", ("time", "timestamp"), frozenset(), discover=False), LIMITS
)
OPEN = JsonDecoder(
    "d", Fields("stream", ("time", "timestamp"), frozenset({"id"}), discover=True), LIMITS
)

TREES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)
FIELDS = st.sampled_from(["stream", "time", "a", "b", "c"])
BODIES = st.dictionaries(FIELDS, TREES | st.just("s") | st.just(STORED)).map(
    lambda body: json.dumps(body).encode()
)
SHOPS = JsonDecoder(
    "d", Fields("stream", ("time",), frozenset(), discover=False, categories=("shop",)), LIMITS
)
RECORDS = st.lists(st.none() | st.binary(max_size=40) | BODIES, max_size=12)


@settings(max_examples=300, deadline=None)
@given(RECORDS, st.sampled_from([LISTED, OPEN]))
def test_every_record_becomes_an_event_or_a_dead_letter_with_a_known_reason(
    records: list[bytes | None], decoder: JsonDecoder
) -> None:
    decoded = decoder.decode(raw_batch(records), ("a", "b"))
    letters = [letter.offset for letter in decoded.dead_letters]
    assert sorted([*decoded.events.offsets.tolist(), *letters]) == list(range(len(records)))
    assert all(letter.reason in REASONS and letter.detail for letter in decoded.dead_letters)
    assert np.all(np.isfinite(decoded.events.values) | np.isnan(decoded.events.values))
    assert len(decoded.features) <= LIMITS.max_features
    assert decoded.events.values.shape == (len(decoded.events), len(decoded.features))


@pytest.mark.parametrize(
    ("shop", "text"),
    [("s-7", "s-7"), (7, "7"), (7.0, "7"), (True, "True"), (None, None), ("", None)],
)
def test_a_category_is_read_as_a_text(shop: object, text: str | None) -> None:
    body = json.dumps({"stream": "c", "a": 1.0, "shop": shop}).encode()
    decoded = SHOPS.decode(raw_batch([body]), ("a",))
    assert decoded.events.categories.tolist() == [[bucket_of(text)]]
    assert decoded.events.values.tolist() == [[1.0]]


def test_a_category_that_is_left_out_is_missing() -> None:
    decoded = SHOPS.decode(raw_batch([b'{"stream": "c", "a": 1.0}']), ("a",))
    assert decoded.events.categories.tolist() == [[NONE]]


@pytest.mark.parametrize("shop", [[1], {"id": 1}])
def test_a_category_that_is_no_text_is_rejected_with_its_name(shop: object) -> None:
    body = json.dumps({"stream": "c", "a": 1.0, "shop": shop}).encode()
    (letter,) = SHOPS.decode(raw_batch([body]), ("a",)).dead_letters
    assert letter.reason == "bad_value"
    assert "'shop'" in letter.detail


@settings(max_examples=100, deadline=None)
@given(RECORDS, st.integers(0, 12))
def test_decoding_does_not_depend_on_how_records_are_cut_into_batches(
    records: list[bytes | None], cut: int
) -> None:
    whole = OPEN.decode(raw_batch(records), ())
    first = OPEN.decode(raw_batch(records[:cut]), ())
    second = OPEN.decode(raw_batch(records[cut:], cut), first.features)
    assert second.features == whole.features
    assert [*first.events.streams, *second.events.streams] == list(whole.events.streams)
    assert first.dead_letters + second.dead_letters == whole.dead_letters


@pytest.mark.parametrize(
    ("key", "body", "reason"),
    [
        (None, {"a": 1}, "missing_key"),
        (None, {"stream": "", "a": 1}, "bad_key"),
        (None, {"stream": "x" * 21, "a": 1}, "bad_key"),
        (None, {"stream": "a\nb", "a": 1}, "bad_key"),
        (None, {"stream": 1.5, "a": 1}, "bad_key"),
        (None, {"stream": True, "a": 1}, "bad_key"),
        (b"\xff", {"a": 1}, "bad_key"),
        (b"s", {"a": 1, "time": "noon"}, "bad_time"),
        (b"s", {"a": 1, "time": True}, "bad_time"),
        (b"s", {"a": 1, "time": STORED + 3601}, "future"),
        (b"s", {"a": "1"}, "bad_value"),
        (b"s", {"a": True}, "bad_value"),
        (b"s", {"a": [1]}, "bad_value"),
        (b"s", {"a": 10**400}, "bad_value"),
        (b"s", {"a": 1e200}, "bad_value"),
        (b"s", {}, "no_features"),
        (b"s", {"a": None}, "no_features"),
        (b"s", {"z": 1}, "no_features"),
        (b"s", {"a": 1, "pad": "x" * 1000}, "too_large"),
        (b"s", [1], "malformed_json"),
    ],
)
def test_a_bad_record_is_rejected_with_its_reason(
    key: bytes | None, body: Any, reason: str
) -> None:
    decoded = LISTED.decode(raw_batch(events([body]), keys=[key]), ("a", "b"))
    assert [letter.reason for letter in decoded.dead_letters] == [reason]


@pytest.mark.parametrize("text", [b'{"a": NaN}', b'{"a": Infinity}', b'{"a": 01}', b"", b"\x00"])
def test_what_is_not_json_is_rejected_as_such(text: bytes) -> None:
    decoded = LISTED.decode(raw_batch([text], keys=[b"s"]), ("a",))
    assert [letter.reason for letter in decoded.dead_letters] == ["malformed_json"]


def test_the_records_key_names_the_stream_and_else_its_field() -> None:
    bodies = events(
        [{"stream": "field", "a": 1}, {"stream": "field", "a": 1}, {"stream": 7, "a": 1}]
    )
    decoded = LISTED.decode(raw_batch(bodies, keys=[b"key", None, None]), ("a",))
    assert list(decoded.events.streams) == ["key", "field", "7"]


def test_an_event_without_a_time_takes_the_one_stored_with_its_record() -> None:
    decoded = LISTED.decode(raw_batch(events([{"stream": "s", "a": 1}])), ("a",))
    assert decoded.events.times.tolist() == [STORED]
    assert decoded.events.timed.tolist() == [False]


def test_missing_features_are_missing_and_unknown_ones_are_counted() -> None:
    body = {"stream": "s", "b": 2.5, "a": None, "other": 4, "note": "text"}
    decoded = LISTED.decode(raw_batch(events([body])), ("a", "b"))
    assert np.array_equal(decoded.events.values, [[np.nan, 2.5]], equal_nan=True)
    assert (decoded.ignored_fields, decoded.missing_values) == (1, 1)


def test_without_a_list_every_numeric_field_is_a_feature_but_the_ignored_ones() -> None:
    bodies = events([{"stream": "s", "x": 1, "id": 3, "on": True}, {"stream": "s", "y": 2}])
    decoded = OPEN.decode(raw_batch(bodies), ())
    assert decoded.features == ("x", "y")
    assert np.array_equal(decoded.events.values, [[1, np.nan], [np.nan, 2]], equal_nan=True)


def test_a_number_in_a_text_is_counted_and_named() -> None:
    """It is no feature, and nobody is left to wonder where it went."""
    body = {"stream": "s", "cpu": "0.42", "id": "10115", "version": "1.2.3", "disk": 3}
    decoded = OPEN.decode(raw_batch(events([body, {**body, "disk": "-4e2"}])), ())
    assert (decoded.features, decoded.ignored_fields) == (("disk",), 1)
    (letter,) = decoded.dead_letters
    assert letter.reason == "no_features"
    assert letter.detail.endswith("'cpu' is a text: numbers go without quotes")
    assert OPEN.quoted_numbers(events([body])[0]) == ["cpu"]
    again = OPEN.decode(raw_batch(events([{**body, "disk": "5", "cpu": 1}])), ("disk",))
    assert again.ignored_fields == 1


def test_fields_beyond_the_most_features_are_ignored_and_counted() -> None:
    many = {"stream": "s", **{f"f{n}": n for n in range(6)}}
    decoded = OPEN.decode(raw_batch(events([many, {"stream": "s", "x": 1, "f0": 2}])), ())
    assert decoded.features == ("f0", "f1", "f2", "f3")
    assert decoded.ignored_fields == 3
    assert len(decoded.events) == 2


@pytest.mark.parametrize("name", ["x" * 256, "é" * 128, "a\0b", "a\nb", "a\x7f"])
def test_a_field_whose_name_no_memory_could_bear_is_ignored_and_counted(name: str) -> None:
    """Every memory carries the names, and a broker takes only so much; also beside others, and once
    there are as many features as there may be."""
    bodies = events([{"stream": "s", name: 1, "x": 2}, {"stream": "s", name: "3", "x": 4}])
    for features in ((), ("x",), ("x", "y", "z", "w")):
        decoded = OPEN.decode(raw_batch(bodies), features)
        assert decoded.features == (features or ("x",))
        assert decoded.ignored_fields == 2
    longest = "y" * 255
    assert OPEN.decode(raw_batch(events([{"stream": "s", longest: 1}])), ()).features == (longest,)


def test_a_discovered_field_may_hold_text_elsewhere() -> None:
    rows = [{"stream": "a", "status": 5}, {"stream": "b", "status": "ok", "x": 1}]
    decoded = OPEN.decode(raw_batch(events(rows)), ())
    assert decoded.dead_letters == []
    assert np.isnan(decoded.events.values[1, 0])


def test_timestamp_is_the_time_where_there_is_no_time() -> None:
    rows = [{"stream": "s", "timestamp": STORED - 5, "x": 1}]
    decoded = OPEN.decode(raw_batch(events(rows)), ())
    assert decoded.features == ("x",)
    assert decoded.events.times[0] == STORED - 5


CLOUD = {"specversion": "1.0", "id": "1", "source": "/plant", "type": "reading"}


@pytest.mark.parametrize("decoder", [LISTED, OPEN])
@pytest.mark.parametrize(
    ("about", "data", "stream", "time"),
    [
        ({"subject": "s", "time": "2026-11-21T07:00:00Z"}, {}, "s", 1795244400.0),
        ({"subject": "s", "time": "2026-11-21T07:00:00Z"}, {"time": 1.7e9}, "s", 1.7e9),
        ({"subject": "s"}, {"stream": "t", "timestamp": 1.7e9}, "t", 1.7e9),
        ({"subject": "s"}, {"stream": None}, "s", STORED),
    ],
)
def test_a_cloud_event_is_its_data(
    decoder: JsonDecoder, about: dict[str, Any], data: dict[str, Any], stream: str, time: float
) -> None:
    """Its subject names the stream, and its time counts, where the data do not say."""
    body = json.dumps({**CLOUD, **about, "data": {"a": 1.5, **data}}).encode()
    later = decoder.limits.max_clock_skew_seconds  # whatever the time is, it is not the future
    decoded = decoder.decode(raw_batch([body], stored=max(STORED, time - later)), ("a",))
    assert decoded.dead_letters == []
    assert decoded.features == ("a",)
    assert list(decoded.events.streams) == [stream]
    assert decoded.events.times.tolist() == [time]
    assert decoded.events.values.tolist() == [[1.5]]


def test_a_cloud_event_without_a_stream_is_rejected() -> None:
    decoded = OPEN.decode(raw_batch(events([{**CLOUD, "data": {"a": 1}}])), ("a",))
    assert [letter.reason for letter in decoded.dead_letters] == ["missing_key"]


@pytest.mark.parametrize("data", [{}, {"data": "text"}, {"data": 4}, {"data_base64": "e30="}])
def test_a_cloud_event_without_an_object_is_rejected(data: dict[str, Any]) -> None:
    """Its other numbers are no features, though the record's key names a stream."""
    body = json.dumps({**CLOUD, **data, "sequence": 5}).encode()
    decoded = OPEN.decode(raw_batch([body], keys=[b"s"]), ("a",))
    assert [(one.reason, "data" in one.detail) for one in decoded.dead_letters] == [
        ("malformed_json", True)
    ]
    assert decoded.features == ("a",)


def test_an_event_that_only_looks_like_a_cloud_event_is_read_as_it_is() -> None:
    flat = {"stream": "s", "specversion": "1.0", "data": 4, "a": 2}
    decoded = OPEN.decode(raw_batch(events([flat])), ("a", "data"))
    assert decoded.events.values.tolist() == [[2.0, 4.0]]
