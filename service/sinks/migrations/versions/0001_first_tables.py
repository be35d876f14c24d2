"""The first tables.

What exists already stays: a database may have been left half-way, where making tables is no part of
a transaction.
"""

import time

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "anomalies",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("detector", sa.String(), nullable=False),
        sa.Column("stream", sa.String(), nullable=False),
        sa.Column("time", sa.Float(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("alarm", sa.Boolean(), nullable=False),
        sa.Column("kept", sa.Float(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("id"),
        if_not_exists=True,
    )
    op.create_index("anomalies_by_stream", "anomalies", ["stream", "number"], if_not_exists=True)
    op.create_index("anomalies_by_time", "anomalies", ["time"], if_not_exists=True)
    op.create_table(
        "audit",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("time", sa.Float(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("of", sa.String(), nullable=False),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("number"),
        if_not_exists=True,
    )
    op.create_table(
        "dead_letters",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("detector", sa.String(), nullable=False),
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("timestamp", sa.Float(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=True),
        sa.Column("value", sa.LargeBinary(), nullable=True),
        sa.Column("value_bytes", sa.Integer(), nullable=False),
        sa.Column("kept", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("id"),
        if_not_exists=True,
    )
    op.create_table(
        "episodes",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("detector", sa.String(), nullable=False),
        sa.Column("stream", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("peak", sa.String(), nullable=False),
        sa.Column("start", sa.Float(), nullable=False),
        sa.Column("end", sa.Float(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("kept", sa.Float(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("features", sa.Text(), nullable=False),
        sa.Column("began", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("id"),
        if_not_exists=True,
    )
    op.create_index("episodes_by_state", "episodes", ["state", "number"], if_not_exists=True)
    op.create_index("episodes_by_stream", "episodes", ["stream", "number"], if_not_exists=True)
    op.create_table(
        "feedback",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("detector", sa.String(), nullable=False),
        sa.Column("stream", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("episode", sa.String(), nullable=True),
        sa.Column("time", sa.Float(), nullable=False),
        sa.Column("said", sa.Float(), nullable=False),
        sa.Column("undone", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        if_not_exists=True,
    )
    op.create_index(
        "feedback_by_stream", "feedback", ["detector", "stream", "number"], if_not_exists=True
    )
    op.create_table(
        "mutes",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("detector", sa.String(), nullable=True),
        sa.Column("stream", sa.String(), nullable=True),
        sa.Column("pattern", sa.String(), nullable=True),
        sa.Column("features", sa.JSON(), nullable=False),
        sa.Column("start", sa.Float(), nullable=True),
        sa.Column("end", sa.Float(), nullable=True),
        sa.Column("every", sa.String(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("made", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("id"),
        if_not_exists=True,
    )
    op.create_table(
        "notifications",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("episode", sa.String(), nullable=False),
        sa.Column("detector", sa.String(), nullable=False),
        sa.Column("stream", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("claimed", sa.Float(), nullable=False),
        sa.Column("made", sa.Float(), nullable=False),
        sa.Column("said", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("id"),
        if_not_exists=True,
    )
    op.create_index(
        "notifications_by_episode",
        "notifications",
        ["target", "episode", "number"],
        if_not_exists=True,
    )
    op.create_index(
        "notifications_by_state", "notifications", ["target", "state", "number"], if_not_exists=True
    )
    op.create_table(
        "remarks",
        sa.Column("episode", sa.String(), nullable=False),
        sa.Column("acknowledged", sa.Boolean(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("episode"),
        if_not_exists=True,
    )
    _complete()
    op.create_index("anomalies_by_age", "anomalies", ["kept"], if_not_exists=True)
    op.create_index("dead_letters_by_age", "dead_letters", ["kept"], if_not_exists=True)
    op.create_index("episodes_by_age", "episodes", ["kept"], if_not_exists=True)


def _complete() -> None:
    """A table of before there were versions lacks what was added last."""
    for table in ("anomalies", "episodes", "dead_letters"):
        columns = {one["name"] for one in sa.inspect(op.get_bind()).get_columns(table)}
        if "kept" not in columns:
            now = str(time.time())
            op.add_column(table, sa.Column("kept", sa.Float(), nullable=False, server_default=now))


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table, if_exists=True)


TABLES = (
    "anomalies",
    "audit",
    "dead_letters",
    "episodes",
    "feedback",
    "mutes",
    "notifications",
    "remarks",
)
