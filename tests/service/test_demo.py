"""What the demo plays, and what is found in it."""

import csv
import gzip
from collections import defaultdict
from itertools import islice, pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from model.artifact import Artifact, folder_of
from model.series import fingerprint
from service.cli import main
from service.clock import parse_time
from service.demo import cards
from service.demo.play import Event, history_events, play
from service.demo.presets import DATA, PRESETS, WEEK, Preset, metrics
from service.demo.produce import main as produce
from service.settings.limits import LimitSettings
from service.train import Selection, read_series
from tests.service.parts import Collected, make_pipeline, raw_batch

EVERY_PRESET = pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))
NO_LABEL = {"stream", "time", "value", "rr_ms", "hr_bpm", "amount", "shop"}


def two_laps(preset: Preset) -> list[Event]:
    """Every stream's first lap, and for most of them a second one."""
    series = preset.series()
    return list(islice(play(series), 2 * sum(len(one.events) for one in series)))


@EVERY_PRESET
def test_a_play_is_the_same_each_time_and_goes_on_where_it_was(preset: Preset) -> None:
    whole = two_laps(preset)
    assert two_laps(preset) == whole
    cut = len(whole) * 2 // 3
    assert list(islice(play(preset.series(), cut), len(whole) - cut)) == whole[cut:]


@EVERY_PRESET
def test_no_stream_goes_back_in_time_and_no_event_says_what_it_is(preset: Preset) -> None:
    times: dict[str, list[float]] = defaultdict(list)
    told: set[str] = set()
    for event in two_laps(preset):
        body = msgspec.json.decode(event.record())
        assert set(preset.detector.features or ()) <= body.keys() <= NO_LABEL
        assert abs(parse_time(body["time"]) - event.time) < 1e-6
        times[event.stream].append(event.time)
        told |= {value for value in event.values.values() if isinstance(value, str)}
    assert times.keys() == {one.stream for one in preset.series()}
    assert all(before <= after for one in times.values() for before, after in pairwise(one))
    assert told <= {shop for shop, _, _ in cards.SHOPS}


def test_the_series_of_operations_are_moved_by_whole_weeks_and_keep_their_values() -> None:
    for one in metrics():
        with gzip.open(
            DATA / "operations" / f"{one.stream}.csv.gz", "rt", encoding="utf-8"
        ) as text:
            rows = [(float(row["timestamp"]), float(row["value"])) for row in csv.DictReader(text)]
        kept = rows[-len(one.events) :]
        moved = {time - old for (time, _), (old, _) in zip(one.events, kept, strict=True)}
        assert [values["value"] for _, values in one.events] == [value for _, value in kept]
        assert len(moved) == 1
        assert moved.pop() % WEEK == 0.0
        assert one.lap_seconds % WEEK == 0.0
        assert rows[-1][0] - rows[0][0] - one.lap_seconds < WEEK


def test_the_series_of_operations_run_side_by_side_from_the_last_weeks_on() -> None:
    series = metrics()
    live = list(islice(play(series, history_events(series)), 20_000))
    days = defaultdict(set)
    for event in live:
        days[event.stream].add(event.time // cards.DAY)
    every = set(range(int(live[0].time // cards.DAY), int(live[-1].time // cards.DAY) + 1))
    assert len(every) > 14  # longer than the shortest series: it goes on without a gap
    assert {stream: every - seen for stream, seen in days.items()} == {
        s.stream: set() for s in series
    }


def watched(preset: Preset, count: int) -> Collected:
    """What the preset's detector says of the first `count` events."""
    records = [event.record() for event in islice(play(preset.series()), count)]
    batches = [raw_batch(records[n : n + 4096], n) for n in range(0, count, 4096)]
    limits = LimitSettings(max_clock_skew_seconds=1e9)
    pipeline, collected = make_pipeline(batches, settings=preset.detector, limits=limits)
    pipeline.run()
    assert collected.reasons == []
    assert collected.scored == count
    return collected


@EVERY_PRESET
def test_every_preset_has_episodes_in_its_history_and_nothing_is_rejected(preset: Preset) -> None:
    told = watched(preset, history_events(preset.series())).deliveries
    opened = [one for delivery in told for one in delivery.episodes if one["change"] == "opened"]
    assert len(opened) >= 10


def test_every_card_with_a_fraud_is_told_and_few_others_are() -> None:
    """As the walk-through has it."""
    paid = cards.payments(seed=0)
    alarms = [one for one in watched(PRESETS["transactions"], len(paid)).anomalies if one["alarm"]]
    about = [paid[one["offset"]] for one in alarms]
    assert [one["stream"] for one in alarms] == [payment.card for payment in about]
    cheated = {payment.card for payment in paid if payment.fraud}
    assert {payment.card for payment in about if payment.fraud} == cheated
    assert sum(not payment.fraud for payment in about) <= 2 * cards.DAYS / 7  # promised: ten a week


def test_beats_that_are_told_are_beside_those_that_were_marked(labelled_data: Path) -> None:
    """As the walk-through has it; the marks are for this test alone."""
    preset = PRESETS["vitals"]
    marked: dict[str, set[float]] = {}
    for one in preset.series():
        file = labelled_data / "mitbih" / f"{one.stream.removeprefix('patient-')}.csv.gz"
        with gzip.open(file, "rt", encoding="utf-8") as text:
            rows = list(csv.DictReader(text))
        ectopic = [n for n, row in enumerate(rows) if row["label"] == "1"]
        near = {n + d for n in ectopic for d in range(-2, 3) if 0 <= n + d < len(rows)}
        marked[one.stream] = {float(rows[n]["timestamp"]) for n in near}
    told = watched(preset, sum(len(one.events) for one in preset.series())).anomalies
    beside = [parse_time(one["time"]) in marked[one["stream"]] for one in told]
    assert len(beside) > 50
    assert all(beside)


def test_the_made_up_cards_are_as_they_are_described() -> None:
    paid = cards.payments(seed=5)
    assert paid == cards.payments(seed=5) != cards.payments(seed=6)
    assert len({payment.card for payment in paid}) == cards.CARDS
    assert 0.0 <= paid[0].time - cards.START <= paid[-1].time - cards.START < cards.DAYS * cards.DAY
    own: dict[str, list[float]] = defaultdict(list)
    frauds: dict[str, dict[str, list[cards.Payment]]] = {"far": {}, "stolen": {}}
    for payment in paid:
        if payment.fraud:
            frauds[payment.fraud].setdefault(payment.card, []).append(payment)
        else:
            own[payment.card].append(payment.amount)
    usual = {card: float(np.median(amounts)) for card, amounts in own.items()}
    a_day = {card: len(amounts) / cards.DAYS for card, amounts in own.items()}
    assert (len(frauds["far"]), len(frauds["stolen"])) == (cards.FAR, cards.STOLEN)
    assert not frauds["far"].keys() & frauds["stolen"].keys()
    assert all(len(some) == 1 for some in frauds["far"].values())
    times = [some[0].amount / usual[card] for card, some in frauds["far"].items()]
    assert 0.5 * cards.FAR_FACTOR[0] < min(times) < max(times) < 1.5 * cards.FAR_FACTOR[1]
    stolen = frauds["stolen"]
    lasted = max(some[-1].time - some[0].time for some in stolen.values())
    assert lasted <= cards.STOLEN_DAYS * cards.DAY
    often = sum(len(some) for some in stolen.values()) / cards.STOLEN_DAYS
    assert often / sum(a_day[card] for card in stolen) == pytest.approx(cards.STOLEN_OFTEN, rel=0.2)
    much = [payment.amount / usual[card] for card, some in stolen.items() for payment in some]
    assert np.median(much) == pytest.approx(cards.STOLEN_FACTOR, rel=0.2)


def test_the_artifact_of_the_heart_beats_is_of_the_minutes_that_ship_with_it() -> None:
    file = DATA / "vitals" / "training" / "first_minutes.csv.gz"
    series, features = read_series((file,), Selection(None, None, None, (), {}))
    description = Artifact(folder_of(PRESETS["vitals"].detector.artifact)).description
    assert description.training["data_fingerprint"] == fingerprint(series)
    assert description.config.features == features


def test_the_command_has_every_preset_and_refuses_others(tmp_path: Path) -> None:
    (option,) = (one for one in main.commands["demo"].params if one.name == "preset")
    assert list(option.type.choices) == list(PRESETS)  # type: ignore[attr-defined]
    for command, arguments in ((main, ["demo"]), (produce, [])):
        refused = CliRunner().invoke(command, [*arguments, "--preset", "weather"])
        assert refused.exit_code == 2
        assert "operations" in refused.output
