"""`wakeful replay`: the serving pipeline on files, or once more on what a service has scored."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from service.cli_options import (
    FILES,
    FOLDER,
    column_options,
    config_option,
    data_dir_option,
    direction_option,
    flags_of,
    json_option,
    reported,
    write_json,
)
from service.errors import SettingsError

if TYPE_CHECKING:
    from service.replay import ReplayOptions
    from service.rewind import Rewound
    from service.settings.tree import Settings


class Moment(click.ParamType[float | int]):
    """A time as Unix seconds, or an offset as an int: `@1234`."""

    name = "TIME"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | int:
        from service.clock import parse_time

        text = str(value)
        try:
            if text.startswith("@"):
                return max(0, int(text[1:]))
            return parse_time(float(text) if text.replace(".", "", 1).isdigit() else text)
        except ValueError as error:
            self.fail(f"{error}; an offset is written as @1234", param, ctx)


@click.command()
@click.argument("files", nargs=-1, type=FILES)
@click.option("--out", required=True, type=FOLDER, help="Folder for one CSV for each file.")
@column_options
@direction_option
@click.option("--artifact", type=FOLDER, help="Artifact folder, or `compact` [the base artifact].")
@click.option("--keep", is_flag=True, help="Keep memories from one file to the next.")
@click.option("--stream", help="In place of files: a stream of the configured service.")
@click.option(
    "--from", "start", type=Moment(), help="Show its events from here on, or from @OFFSET."
)
@click.option("--until", "end", type=Moment(), help="And before this.")
@click.option("--detector", default="default", show_default=True, help="Whose stream it is.")
@data_dir_option
@json_option
@config_option
@reported
def replay(
    files: tuple[Path, ...],
    out: Path,
    key: str | None,
    time: str | None,
    features: list[str] | None,
    ignore: list[str] | None,
    direction: dict[str, str],
    artifact: Path | None,
    keep: bool,
    stream: str | None,
    start: float | int | None,
    end: float | int | None,
    detector: str,
    data_dir: Path | None,
    json_file: Path | None,
    config: Path | None,
) -> int:
    """Run the serving pipeline on CSV files: one row out for each row in.

    Rows that cannot be scored are told in DIR/<file>.rejected.csv; status 1 where none could be.

    With --stream the memory of one stream is rebuilt from the events that the configured service
    still has, in Kafka or in its log, and what was scored then is scored and explained again. The
    service may go on meanwhile; nothing of it is touched.
    """
    from service.settings.loading import load_settings
    from service.telemetry.logging import configure_logging

    configure_logging(logging.WARNING)  # the summary says it
    if (stream is None) == (not files):
        raise click.UsageError("name FILES to replay, or a --stream")
    asked: dict[str, Any] = {"direction": direction} if direction else {}
    if artifact:
        asked["artifact"] = artifact
    settings = load_settings(config, flags_of(data_dir))
    if detector not in settings.detectors:
        raise SettingsError(f"the settings have no detector {detector!r}")
    given = {"detectors": {detector: asked}} if asked else {}
    settings = load_settings(config, given | flags_of(data_dir))
    if stream is not None:
        if keep or key or time or features or ignore:
            raise click.UsageError(
                "--keep, --key, --time, --features and --ignore are for FILES; of a stream the "
                "settings say it"
            )
        return _rewind(settings, stream, detector, start, end, out, json_file)
    if start is not None or end is not None or json_file is not None:
        raise click.UsageError("--from, --until and --json go with --stream")
    from service.replay import ReplayOptions
    from service.sources.table import Asked

    options = ReplayOptions(out, Asked(key, time, features, tuple(ignore or ())), keep)
    return _replay_files(files, settings, detector, options)


def _replay_files(
    files: tuple[Path, ...], settings: "Settings", detector: str, options: "ReplayOptions"
) -> int:
    from service.replay import replay as run
    from service.sinks.csv import rejected_file

    tallies = run(files, settings.detectors[detector], settings.limits, options)
    for output, tally in tallies:
        reasons = ", ".join(f"{count} {reason}" for reason, count in tally.reasons.items())
        told = f" ({reasons}: see {rejected_file(output)})" if reasons else ""
        click.echo(
            f"{output}: {tally.rows} rows, {tally.rows - tally.scored} rejected{told}, "
            f"{tally.anomalies} anomalous, {tally.alarms} alarms"
        )
        if not tally.timed:
            click.echo(
                "  no column says when (time, timestamp): rows count as a second apart; "
                "name the one that does with --time",
                err=True,
            )
        if tally.unused and not (options.columns.key or options.columns.features):
            click.echo(
                f"  no numbers, or a label, and not used: {', '.join(tally.unused)}; "
                "where one of them names the stream, say so with --key",
                err=True,
            )
    return int(any(tally.rows and not tally.scored for _, tally in tallies))


def _rewind(
    settings: "Settings",
    stream: str,
    detector: str,
    start: float | int | None,
    end: float | int | None,
    out: Path,
    json_file: Path | None,
) -> int:
    from service.rewind import Asked, rewind, write_rows

    if isinstance(end, int):
        raise click.UsageError("--until takes a time")
    first = start if isinstance(start, int) else None
    since = None if isinstance(start, int) else start
    if since is not None and end is not None and end <= since:
        raise click.UsageError("--until is not after --from")
    rewound = rewind(settings, Asked(stream, detector, since, first, end))
    file = write_rows(rewound, stream, out)
    for line in _in_words(rewound, stream, file):
        click.echo(line)
    write_json(json_file, rewound.to_json())
    return 0


def _in_words(rewound: "Rewound", stream: str, file: Path) -> "list[str]":
    topic, number = rewound.partition
    memory = rewound.memory
    known = f"{memory['events']:,} events from {memory['first_time']} on" if memory else "no event"
    lines = [
        f"{stream} in {topic}-{number}, by artifact {rewound.artifact}: its memory has seen {known}"
    ]
    if rewound.first_offset > 0:
        lines.append(
            f"records before offset {rewound.first_offset:,} are gone: what the stream was "
            "remembered by before them is missing here, and scores may differ from those of then"
        )
    lines += [f"{_explained(one)}; {_then(rewound, one)}" for one in rewound.anomalies]
    lines += [f"{_explained(one)}; told then, not now" for one in rewound.not_now]
    lines.append(
        f"{file}: {sum(len(one.raw) for one in rewound.shown):,} events, "
        f"{len(rewound.anomalies):,} anomalous now, {len(rewound.then):,} then"
    )
    return lines


def _then(rewound: "Rewound", anomaly: Any) -> str:
    """Whether it is what was told then."""
    then = rewound.then.get(anomaly["id"])
    if then is None:
        return "no record of it"
    if then == anomaly:
        return "as it was told then"
    return f"told then by artifact {then.get('artifact')} with a score of {then['score']:.2f}"


def _explained(anomaly: Any) -> str:
    """One anomaly, the features to blame first."""
    features = sorted(anomaly["features"].items(), key=lambda one: -one[1]["share"])
    parts = [
        f"{name} {one['actual']:g}"
        + ("" if one["expected"] is None else f" (expected {one['low']:g} to {one['high']:g})")
        for name, one in features
        if one["share"] > 0.0
    ]
    mark = "alarm" if anomaly["alarm"] else "anomalous"
    return (
        f"  {anomaly['time']}  @{anomaly['offset']}  {mark}  score {anomaly['score']:.2f}  "
        f"{', '.join(parts)}"
    )
