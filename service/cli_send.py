"""`wakeful send`: CSV files to a service that listens."""

from pathlib import Path

import click

from service.cli_options import (
    FILES,
    categories_option,
    column_options,
    config_option,
    reported,
)
from service.errors import SettingsError

ADDRESS = "http://127.0.0.1:8080"


@click.command()
@click.argument("files", nargs=-1, required=True, type=FILES)
@click.option("--to", "address", default=ADDRESS, show_default=True, help="Where it listens.")
@column_options
@categories_option
@click.option("--detector", default="default", show_default=True, help="Who is to score them.")
@config_option
@reported
def send(
    files: tuple[Path, ...],
    address: str,
    key: str | None,
    time: str | None,
    features: list[str] | None,
    ignore: list[str] | None,
    categories: list[str] | None,
    detector: str,
    config: Path | None,
) -> int:
    """Send the rows of CSV files as events, to be scored and seen on the page.

    A file without a column for the stream is a stream of its own, named after it. Where the
    service asks for a key, give an operator's: WAKEFUL_API__TOKEN in the environment, or
    `api.token_file` in the settings. What is sent twice is scored twice, but for rows that are then
    a week or more behind their stream's newest (`late`). Status 1 where no row was accepted.
    """
    from service.send import SendOptions
    from service.send import send as run
    from service.settings.loading import load_settings
    from service.sources.table import Asked

    settings = load_settings(config)
    if detector not in settings.detectors:
        raise SettingsError(f"the settings have no detector {detector!r}")
    if not address.startswith(("http://", "https://")):
        raise SettingsError(f"--to {address}: an address such as {ADDRESS} is needed")
    asked = Asked(key, time, features, tuple(ignore or ()))
    options = SendOptions(
        address.rstrip("/"), detector, settings.api.secret(), asked, tuple(categories or ())
    )
    sent = run(files, settings.detectors[detector], options)
    for file, one in zip(files, sent, strict=True):
        reasons = ", ".join(f"{count} {reason}" for reason, count in one.rejected.items())
        rejected = f", {one.rejected.total()} rejected ({reasons})" if reasons else ""
        click.echo(f"{file}: {one.accepted} rows accepted{rejected}")
        if one.unused and not features:
            click.echo(
                f"  no numbers, or a label, and not sent: {', '.join(one.unused)}; where the "
                "detector's artifact reads one of them, say so with --categories",
                err=True,
            )
    click.echo(f"look at {address.rstrip('/')}/")
    return 0 if any(one.accepted for one in sent) else 1
