"""The history's tables, from one version to the next; each is a file in `versions`.

An instance brings a database to its own version with its first write. On PostgreSQL one does while
others wait.
"""

from pathlib import Path

import sqlalchemy as sa

from service.errors import Unavailable

HERE = Path(__file__).parent
NEWEST = "0001"
ONE_AT_A_TIME = 7_265_019_443  # the name of our lock in PostgreSQL


def migrate(connection: sa.Connection, version: str = NEWEST) -> None:
    """Bring the tables to a version, up or down; "base" is none. Unavailable where they are of a
    version that is not known here."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ONE_AT_A_TIME)))
    before = _version_of(connection)
    if before == version:
        return
    # It takes a moment to import, and most starts need none of it.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(HERE))
    known = {one.revision for one in ScriptDirectory.from_config(config).walk_revisions()}
    if before is not None and before not in known:
        raise Unavailable(
            f"history: the database is of version {before}, and this instance of {NEWEST}: upgrade "
            "the instance"
        )
    up = version != "base" and (before is None or before < version)
    (command.upgrade if up else command.downgrade)(config, version)


def _version_of(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)
