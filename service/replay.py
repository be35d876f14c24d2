"""`wakeful replay`: the serving pipeline on files, each scored row written out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from service.bootstrap import build_detector
from service.detector import Detector
from service.errors import SettingsError
from service.memory.store import InMemoryStore
from service.pipeline import Pipeline
from service.records import Delivery
from service.settings.detector import DetectorSettings
from service.settings.limits import LimitSettings
from service.sinks.csv import CsvSink, rejected_file
from service.sources.file import KEY_FIELD, TIME_FIELD, FileSource
from service.sources.table import Asked, columns_of_detector, open_text, read_rows, sniff, stem
from service.telemetry.metrics import Metrics

BATCH_ROWS = 1000


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What the command was asked for."""

    out: Path
    columns: Asked
    keep: bool = False


@dataclass(slots=True)
class Tally:
    """A sink that counts, for the summary and the progress bar."""

    bar: "tqdm[NoReturn]"
    unused: tuple[str, ...]  # columns that nothing was read from
    timed: bool  # whether a column says when
    rows: int = 0
    scored: int = 0
    anomalies: int = 0
    alarms: int = 0
    reasons: Counter[str] = field(default_factory=Counter)  # rejected rows

    def deliver(self, delivery: Delivery) -> None:
        self.rows += len(delivery.raw)
        self.scored += len(delivery.scored)
        self.anomalies += len(delivery.anomalies)
        self.alarms += sum(anomaly["alarm"] for anomaly in delivery.anomalies)
        self.reasons.update(letter.reason for letter in delivery.dead_letters)
        self.bar.update(len(delivery.raw))

    def flush(self, wait: bool = True) -> None:
        pass

    def close(self) -> None:
        pass


def replay(
    files: Sequence[Path], settings: DetectorSettings, limits: LimitSettings, options: ReplayOptions
) -> list[tuple[Path, Tally]]:
    """Replay files in order; with `keep` memories go on from one to the next."""
    outputs = [options.out / f"{stem(file)}.csv" for file in files]
    written = [*outputs, *map(rejected_file, outputs)]
    if len(set(written)) < len(written):
        raise SettingsError(
            "two files have the same name: their outputs would overwrite each other"
        )
    inputs = {file.resolve() for file in files if str(file) != "-"}
    if inputs & {file.resolve() for file in written}:
        raise SettingsError(f"--out {options.out} holds the file to replay: choose another folder")
    options.out.mkdir(parents=True, exist_ok=True)
    store = InMemoryStore()
    tallies = []
    for file, output in zip(files, outputs, strict=True):
        if not options.keep:
            store = InMemoryStore()
        tallies.append((output, _replay_file(file, output, store, settings, limits, options)))
    return tallies


def _replay_file(
    file: Path,
    output: Path,
    store: InMemoryStore,
    settings: DetectorSettings,
    limits: LimitSettings,
    options: ReplayOptions,
) -> Tally:
    with open_text(file) as text:
        first, rows = sniff(read_rows(file, text))
        there = tuple(name for name in settings.ignore if first and name in first[0])
        asked = replace(options.columns, ignore=(*options.columns.ignore, *there))
        probe = build_detector("default", _of_files(settings), limits)
        categories = probe.artifact.config.categories
        columns = columns_of_detector(file, first, asked, settings, categories)
        detector = _detector(probe, settings, limits, columns.features)
        source = FileSource(file, columns, rows, min(BATCH_ROWS, limits.batch_events))
        sink = CsvSink(output, rejected_file(output), detector.features)
        bar: tqdm[NoReturn] = tqdm(desc=stem(file), unit=" rows", disable=None)
        with bar:
            tally = Tally(bar, columns.unused(asked.ignore), columns.time is not None)
            pipeline = Pipeline(
                source, [detector], {detector.name: [source.partition[0]]}, store,
                [sink, tally], Metrics(), checkpoint_interval_seconds=3600.0,
            )  # fmt: skip
            try:
                pipeline.run()
            finally:
                sink.close()
    return tally


def _of_files(
    settings: DetectorSettings, features: tuple[str, ...] | None = None
) -> DetectorSettings:
    """The same for the records that a file's rows become."""
    wanted = None if features is None else list(features)
    return settings.model_copy(
        update={"key": KEY_FIELD, "time": TIME_FIELD, "features": wanted, "ignore": []}
    )


def _detector(
    probe: Detector, settings: DetectorSettings, limits: LimitSettings, columns: tuple[str, ...]
) -> Detector:
    """A detector for the file's columns; a trained artifact takes the ones it was trained on."""
    if not probe.artifact.config.joint:
        return build_detector("default", _of_files(settings, columns), limits)
    if missing := set(probe.features) - set(columns):
        raise SettingsError(
            f"the artifact was trained on {', '.join(probe.features)}; the file has no numeric "
            f"{', '.join(sorted(missing))}, or --features leaves it out"
        )
    return probe
