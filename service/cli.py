"""The command `wakeful`. Exit status: 0 done, 1 failed, 2 wrong usage or settings."""

import importlib.util
import json
import os
import signal
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from service.cli_keys import keys
from service.cli_options import (
    FILES,
    FOLDER,
    OUTPUT,
    SET,
    categories_option,
    column_options,
    config_option,
    direction_option,
    flags_of,
    names,
    pairs,
    reported,
    write_json,
)
from service.cli_replay import replay
from service.cli_send import send
from service.cli_state import state
from service.errors import SettingsError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="wakeful")
def main() -> None:
    """Streaming anomaly detection that never forgets a stream."""
    from service.telemetry.logging import configure_logging

    configure_logging()


main.add_command(keys)
main.add_command(state)
main.add_command(replay)
main.add_command(send)


where_option = click.option(
    "--where",
    multiple=True,
    callback=pairs,
    metavar="COL=VALUE",
    help="Train on these rows alone; the column is no feature.",
)


@main.command()
@config_option
@click.option("--data-dir", type=FOLDER, help="Where memories and history are kept.")
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.")
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Processes that share a Kafka topic's partitions; each listens on the next port.",
)
@reported
def serve(
    config: Path | None, data_dir: Path | None, host: str | None, port: int | None, workers: int
) -> int:
    """Score events as they arrive: from Kafka where it is configured, else by HTTP."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there are settings to be read again

    from service.bootstrap import build_service
    from service.run import run_service
    from service.settings.loading import load_settings
    from service.settings.tree import Settings
    from service.workers import run_workers

    def read() -> Settings:
        return load_settings(config, flags_of(data_dir, host, port))

    settings = read()
    if workers > 1:
        given = {"--config": config, "--host": host}
        arguments = [text for name, value in given.items() if value for text in (name, str(value))]
        return run_workers(workers, settings, arguments)
    return run_service(
        build_service(settings),
        lambda address: click.echo(f"Wakeful is listening on {address}"),
        read=read,
    )


@main.command()
@click.option(
    "--preset",
    type=click.Choice(["operations", "vitals", "transactions"]),
    default="operations",
    show_default=True,
    help="What to watch.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True)
@click.option(
    "--dir",
    "folder",
    type=FOLDER,
    help="Where the demo keeps its data; the same again goes on [a folder for each preset].",
)
@reported
def demo(preset: str, port: int, folder: Path | None) -> int:
    """Watch streams that come with the product; Ctrl-C ends it, again goes on."""
    from service.bootstrap import build_service
    from service.demo.feeder import Feeder
    from service.demo.presets import PRESETS
    from service.run import run_service
    from service.settings.limits import LimitSettings
    from service.settings.tree import Settings

    played = PRESETS[preset]
    settings = Settings.model_construct(  # the demo is the same whatever the environment says
        data_dir=folder or Path(f"wakeful-demo-{preset}"),
        detectors={"default": played.detector},
        limits=LimitSettings(max_clock_skew_seconds=1e9),  # played again and again, time runs ahead
    )
    settings = settings.model_copy(update={"api": settings.api.model_copy(update={"port": port})})
    service = build_service(settings)

    def ready() -> None:
        click.echo(f"Ready: it is watching {played.summary}.")

    feeder = Feeder(service, played, ready)

    def announce(address: str) -> None:
        click.echo(f"Wakeful is starting on {address}")
        click.echo(f"  page       {address}/#/?span={played.span}")
        click.echo(f"  episodes   {address}/api/v1/episodes")
        click.echo(f"  metrics    {address}/metrics")
        click.echo("Ctrl-C ends it; the same command again goes on from there.")
        click.echo("The first start compiles its inner loops: twenty seconds or more.")
        feeder.start()

    return run_service(service, announce, feeder.stop)


@main.command()
@click.argument("files", nargs=-1, required=True, type=FILES)
@click.option("--out", required=True, type=FOLDER, help="Folder for the artifact.")
@column_options
@where_option
@categories_option
@click.option(
    "--cell",
    type=click.Choice(["mean", "linear", "lstm", "gru", "rnn"]),
    help="What predicts [lstm for one feature with a period, else the best of mean, linear and lstm].",
)
@click.option(
    "--hidden",
    type=click.IntRange(2, 1024),
    default=32,
    show_default=True,
    help="Units of the encoder.",
)
@click.option(
    "--updates",
    type=click.IntRange(1, 1_000_000),
    default=1500,
    show_default=True,
    help="At most; fewer when it stops getting better.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@reported
def train(
    files: tuple[Path, ...],
    out: Path,
    key: str | None,
    time: str | None,
    features: list[str] | None,
    ignore: list[str] | None,
    where: dict[str, str],
    cell: Any,
    hidden: int,
    updates: int,
    seed: int,
    categories: list[str] | None,
) -> None:
    """Train an artifact on your own normal data. Needs the extra: .venv/bin/pip install -e '.[train]'."""
    require_torch()
    from tqdm import tqdm

    from model.trainer import train_artifact
    from model.training import TrainingSettings
    from service.train import Selection, chosen, read_series

    if (out / "artifact.json").exists():
        click.echo(f"{out}: holds an artifact; it will be replaced", err=True)
    texts = tuple(categories or ())
    selection = Selection(key, time, features, tuple(ignore or ()), where, texts)
    series, watched = read_series(files, selection)
    with tqdm(total=updates, desc="training", unit=" updates", disable=None) as bar:

        def show(made: int, message: str) -> None:
            bar.set_postfix_str(message)
            bar.update(made)

        settings = TrainingSettings(updates=updates, seed=seed)
        artifact = train_artifact(series, watched, out, settings, cell, hidden, show, texts)
    click.echo(f"{out}: artifact {artifact.fingerprint_text}, trained on {', '.join(watched)}")
    for line in chosen(artifact.description, texts):
        click.echo(f"  {line}")
    click.echo(json.dumps(artifact.description.training))


@main.command()
@click.argument("folders", nargs=-1, required=True, type=SET)
@click.option("--artifact", type=FOLDER, help="Artifact of the detector `wakeful` [it trains one].")
@click.option("--json", "file", type=OUTPUT, help="File to write the figures to.")
@click.option("--detectors", callback=names, metavar="A,B", help="Which to compare [all].")
@direction_option
@click.option("--key", metavar="COL", help="Column that names the stream [the first in _id].")
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="Processes.")
@click.option(
    "--feedback", is_flag=True, help="What it changes to mark each stream's first false alarm."
)
@click.option("--together", is_flag=True, help="Train once on all series of a set, as streams.")
@click.option("--quick", is_flag=True, help="Three series of a set, 100 streams of a series.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@reported
def evaluate(
    folders: tuple[Path, ...],
    artifact: Path | None,
    file: Path | None,
    detectors: list[str] | None,
    direction: dict[str, str],
    key: str | None,
    jobs: int,
    feedback: bool,
    together: bool,
    quick: bool,
    seed: int,
) -> None:
    """Measure detectors on folders of labelled series. Needs: .venv/bin/pip install -e '.[evaluate]'."""
    from model.artifact import folder_of
    from service.evaluate import EvaluateOptions, worth_of_feedback, write_figures
    from service.evaluate import evaluate as run

    if artifact and detectors and "wakeful" not in detectors:
        raise SettingsError("--artifact is for the detector wakeful, which --detectors leaves out")
    options = EvaluateOptions(
        artifact and folder_of(artifact),
        tuple(detectors or ()),
        direction,
        key,
        jobs,
        quick,
        seed,
        together,
    )
    if feedback:
        worth = worth_of_feedback(folders, options, click.echo)
        write_json(file, {name: asdict(one) for name, one in worth.items()})
        return
    figures = run(folders, options, click.echo)
    if file:
        write_figures(figures, file)


@main.command()
@click.option("--only", multiple=True, metavar="NAME", help="A measurement; can be repeated.")
@click.option("--quick", is_flag=True, help="Fewer events and repeats: within five minutes.")
@click.option(
    "--bootstrap-servers",
    envvar="WAKEFUL_KAFKA__BOOTSTRAP_SERVERS",
    help="A broker to measure with; else one is started from KAFKA_HOME.",
)
@click.option("--json", "file", type=OUTPUT, help="File to write the figures to.")
@reported
def bench(
    only: tuple[str, ...], quick: bool, bootstrap_servers: str | None, file: Path | None
) -> None:
    """How fast it is on this machine, each figure beside a baseline of the same run.

    Peers and a broker that are not there are left out, and named: .venv/bin/pip install -e '.[bench]'.
    """
    for library in ("OMP", "OPENBLAS", "MKL"):  # read when numpy is imported: one thread each
        os.environ[f"{library}_NUM_THREADS"] = "1"
    from service.bench.run import bench as run
    from service.bench.run import to_text, write_results

    results, missing = run(only, quick, bootstrap_servers)
    click.echo(to_text(results, missing))
    if file:
        write_results(results, missing, file)


@main.command()
@click.argument("files", nargs=-1, type=FILES)
@column_options
@where_option
@click.option("--quick", is_flag=True, help="Short tasks and few updates: a look, no figures.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--json", "file", type=OUTPUT, help="File to write the figures to.")
@reported
def compare(
    files: tuple[Path, ...],
    key: str | None,
    time: str | None,
    features: list[str] | None,
    ignore: list[str] | None,
    where: dict[str, str],
    quick: bool,
    seed: int,
    file: Path | None,
) -> None:
    """RNN, GRU and LSTM on your data, or on a shipped series. Needs: .venv/bin/pip install -e '.[train]'.

    Recall of what was said 10 to 1,000 steps ago, gradient through time, detection, speed, bytes.
    """
    require_torch()
    from service.compare import SHIPPED, to_text, write_figures
    from service.compare import compare as run
    from service.train import Selection, read_series

    selection = Selection(key, time, features, tuple(ignore or ()), where)
    series, watched = read_series(files or SHIPPED, selection)
    figures = run(series, watched, quick, seed)
    click.echo(to_text(figures))
    if file:
        write_figures(figures, file)


@main.command()
@config_option
@reported
def validate(config: Path | None) -> None:
    """Check the settings: each problem with its place."""
    from service.checks import check_settings
    from service.settings.loading import load_settings

    check_settings(load_settings(config))
    click.echo("the settings are valid")


def require_torch() -> None:
    if importlib.util.find_spec("torch") is None:
        raise SettingsError("training needs torch: .venv/bin/pip install -e '.[train]'")
