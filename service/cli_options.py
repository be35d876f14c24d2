"""What commands have in common: options, and how they end."""

import json
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from model.errors import ModelError
from service.errors import SettingsError, WakefulError

F = TypeVar("F", bound=Callable[..., Any])
FILES = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
SET = click.Path(exists=True, file_okay=False, path_type=Path)
OUTPUT = click.Path(dir_okay=False, path_type=Path)

config_option = click.option(
    "--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Settings file."
)
data_dir_option = click.option(
    "--data-dir", type=FOLDER, help="Where the memories are, if not in Kafka."
)
json_option = click.option(
    "--json", "json_file", type=OUTPUT, help="File to write what was found to."
)


def reported(command: F) -> F:
    """Turn errors that have a message for the user into that message and an exit status."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            status = command(*args, **kwargs)
        except SettingsError as error:
            click.echo(f"wakeful: {error}", err=True)
            sys.exit(2)
        except (WakefulError, ModelError) as error:
            click.echo(f"wakeful: {error}", err=True)
            sys.exit(1)
        sys.exit(status or 0)

    return cast(F, run)


def flags_of(
    data_dir: Path | None, host: str | None = None, port: int | None = None
) -> dict[str, Any]:
    """What `load_settings` takes."""
    api = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    flags: dict[str, Any] = {"api": api} if api else {}
    if data_dir is not None:
        flags["data_dir"] = data_dir
    return flags


def write_json(file: Path | None, body: Any) -> None:
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")


def names(_: click.Context, __: click.Parameter, text: str | None) -> list[str] | None:
    """`A,B` -> a list of names."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def pairs(_: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    """`A=x` given any number of times -> a dict."""
    for text in texts:
        if "=" not in text:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE", param=parameter)
    given = dict(text.split("=", 1) for text in texts)
    if len(given) < len(texts):
        raise click.BadParameter("each NAME can be given once", param=parameter)
    return given


def column_options(command: F) -> F:
    """The options that say which columns of a CSV file are what."""
    for option in (
        click.option("--ignore", callback=names, metavar="COLS", help="Columns to leave out."),
        click.option(
            "--features",
            callback=names,
            metavar="A,B",
            help="Columns to watch [every numeric one].",
        ),
        click.option("--time", metavar="COL", help="Column with the time [time or timestamp]."),
        click.option("--key", metavar="COL", help="Column that names the stream [stream, if any]."),
    ):
        command = option(command)
    return command


categories_option = click.option(
    "--categories",
    callback=names,
    metavar="A,B",
    help="Columns that are no numbers (a merchant, a terminal), to read beside the features.",
)
direction_option = click.option(
    "--direction",
    multiple=True,
    callback=pairs,
    metavar="FEATURE=low|high|both",
    help="Which deviation of a feature counts.",
)
