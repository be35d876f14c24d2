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
        file.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
