"""`wakeful state`: memories as files, and beside each other."""

from pathlib import Path

import click

from service.cli_options import (
    FILES,
    OUTPUT,
    config_option,
    data_dir_option,
    flags_of,
    json_option,
    reported,
    write_json,
)

SHOWN = 20  # differences


@click.group()
def state() -> None:
    """Memories as files: kept, moved, looked into, compared to the bit."""


@state.command("export")
@click.argument("file", type=OUTPUT)
@config_option
@data_dir_option
@reported
def export_memories(file: Path, config: Path | None, data_dir: Path | None) -> int:
    """Write all memories, and the positions that they are current to, to a new FILE."""
    from service.settings.loading import load_settings
    from service.state import export_state

    count = export_state(load_settings(config, flags_of(data_dir)), file)
    click.echo(f"{count:,} memories in {file}")
    return 0


@state.command("import")
@click.argument("file", type=FILES)
@config_option
@data_dir_option
@reported
def import_memories(file: Path, config: Path | None, data_dir: Path | None) -> int:
    """Take the memories of a FILE over, where there are none."""
    from service.settings.loading import load_settings
    from service.state import import_state

    settings = load_settings(config, flags_of(data_dir))
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    click.echo(f"{import_state(settings, file):,} memories from {file}")
    return 0


@state.command()
@click.argument("file", type=FILES, required=False)
@config_option
@data_dir_option
@json_option
@reported
def inspect(
    file: Path | None, config: Path | None, data_dir: Path | None, json_file: Path | None
) -> int:
    """Say what a FILE holds, or without one what the configured service does."""
    from service.settings.loading import load_settings
    from service.state import memories_of, summary_of

    settings = load_settings(config, flags_of(data_dir))
    found = [summary_of(memories) for memories in memories_of(settings, file)]
    for one in found:
        click.echo("  ".join(f"{name} {value}" for name, value in one.items()))
    if not found:
        click.echo("no memories")
    write_json(json_file, {"memories": found})
    return 0


@state.command()
@click.argument("file", type=FILES)
@click.argument("other", type=FILES, required=False)
@config_option
@data_dir_option
@json_option
@reported
def verify(
    file: Path,
    other: Path | None,
    config: Path | None,
    data_dir: Path | None,
    json_file: Path | None,
) -> int:
    """Compare a FILE's memories to the bit with OTHER's, or the configured service's; 1: differ."""
    from service.memory.archive import differences
    from service.settings.loading import load_settings
    from service.state import memories_of

    settings = load_settings(config, flags_of(data_dir))
    first, second = memories_of(settings, file), memories_of(settings, other)
    found = differences(first, second)
    for line in found[:SHOWN]:
        click.echo(line)
    if len(found) > SHOWN:
        click.echo(f"and {len(found) - SHOWN:,} more")
    count = sum(len(memories.rows) for memories in first)
    click.echo(f"{len(found):,} differences" if found else f"{count:,} memories, the same bits")
    write_json(json_file, {"memories": count, "differences": found})
    return 1 if found else 0


@state.command()
@click.argument("fingerprint")
@config_option
@data_dir_option
@reported
def drop(fingerprint: str, config: Path | None, data_dir: Path | None) -> int:
    """Let the memories go that an artifact made which is not configured any longer; `inspect` says
    which there are."""
    from service.settings.loading import load_settings
    from service.state import drop_state

    gone = drop_state(load_settings(config, flags_of(data_dir)), fingerprint)
    for name in gone:
        click.echo(f"{name}: gone")
    if not gone:
        click.echo(f"no memories of artifact {fingerprint}", err=True)
    return int(not gone)
