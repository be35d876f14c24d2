"""`wakeful keys`: who may use the API."""

from pathlib import Path

import click

from service.cli_options import config_option, data_dir_option, flags_of, reported
from service.keys import ROLES, Keys, Role

DAY_SECONDS = 86_400.0


@click.group()
def keys() -> None:
    """Keys for the API and the page. A running service follows at once."""


def _keys(config: Path | None, data_dir: Path | None) -> Keys:
    from service.settings.loading import load_settings

    return Keys(load_settings(config, flags_of(data_dir)).keys_file())


@keys.command()
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), default="viewer", show_default=True)
@click.option("--detector", help="For this detector's streams alone.")
@click.option("--prefix", default="", help="For streams alone whose names begin so.")
@click.option("--days", type=click.FloatRange(0, min_open=True), help="How long it counts.")
@config_option
@data_dir_option
@reported
def create(
    name: str,
    role: Role,
    detector: str | None,
    prefix: str,
    days: float | None,
    config: Path | None,
    data_dir: Path | None,
) -> int:
    """Make a key for NAME, and print it: it cannot be told again."""
    from service.clock import now

    expires = None if days is None else now() + days * DAY_SECONDS
    keys = _keys(config, data_dir)
    first = not keys.all()
    click.echo(keys.create(name, role, detector, prefix, expires))
    if first:
        click.echo("from now on the API asks everybody for a key, senders too", err=True)
    return 0


@keys.command("list")
@config_option
@data_dir_option
@reported
def list_keys(config: Path | None, data_dir: Path | None) -> int:
    """Say which keys there are, without their secrets."""
    from service.clock import format_time

    for key in _keys(config, data_dir).all():
        scope = [key.detector and f"detector {key.detector}", key.prefix and f"{key.prefix}…"]
        until = "" if key.expires is None else f", until {format_time(key.expires)}"
        told = ", ".join(filter(None, scope)) or "all streams"
        click.echo(f"{key.id}  {key.role:8}  {key.name}: {told}{until}")
    return 0


@keys.command()
@click.argument("key_id", metavar="ID")
@config_option
@data_dir_option
@reported
def revoke(key_id: str, config: Path | None, data_dir: Path | None) -> int:
    """Let the key with this ID count no more."""
    revoked = _keys(config, data_dir).revoke(key_id)
    if revoked is None:
        click.echo(
            f"wakeful: no key {key_id!r}; `wakeful keys list` says which there are", err=True
        )
        return 1
    click.echo(f"revoked: {revoked.role} {revoked.name}")
    return 0
