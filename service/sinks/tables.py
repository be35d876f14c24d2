"""The history's tables in SQL."""

import sqlalchemy as sa

metadata = sa.MetaData()
NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
anomalies = sa.Table(
    "anomalies",
    metadata,
    sa.Column("number", NUMBER, primary_key=True),  # in the order in which they were written
    sa.Column("id", sa.String, unique=True, nullable=False),
    sa.Column("detector", sa.String, nullable=False),
    sa.Column("stream", sa.String, nullable=False),
    sa.Column("time", sa.Float, nullable=False),  # Unix seconds
    sa.Column("score", sa.Float, nullable=False),
    sa.Column("severity", sa.String, nullable=False),
    sa.Column("alarm", sa.Boolean, nullable=False),
    sa.Column("kept", sa.Float, nullable=False),  # since when, Unix seconds of the wall clock
    sa.Column("body", sa.Text, nullable=False),  # the anomaly as JSON
    sa.Index("anomalies_by_stream", "stream", "number"),
    sa.Index("anomalies_by_time", "time"),
    sa.Index("anomalies_by_age", "kept"),
)

episodes = sa.Table(
    "episodes",
    metadata,
    sa.Column("number", NUMBER, primary_key=True),  # in the order in which they were told first
    sa.Column("id", sa.String, unique=True, nullable=False),
    sa.Column("detector", sa.String, nullable=False),
    sa.Column("stream", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("severity", sa.String, nullable=False),
    sa.Column("score", sa.Float, nullable=False),  # the highest
    sa.Column("peak", sa.String, nullable=False),  # its anomaly
    sa.Column("start", sa.Float, nullable=False),  # Unix seconds
    sa.Column("end", sa.Float, nullable=False),  # of the newest anomalous event
    sa.Column("offset", sa.BigInteger, nullable=False),  # of the event that told this last
    sa.Column("kept", sa.Float, nullable=False),  # as it was told last, since when
    sa.Column("body", sa.Text, nullable=False),  # the episode as JSON, as it was told last
    sa.Column("features", sa.Text, nullable=False),  # those of its peak, and why, as JSON
    sa.Column("began", sa.Text),  # why the first event was an anomaly
    sa.Index("episodes_by_stream", "stream", "number"),
    sa.Index("episodes_by_state", "state", "number"),
    sa.Index("episodes_by_age", "kept"),
)

remarks = sa.Table(
    "remarks",
    metadata,
    sa.Column("episode", sa.String, primary_key=True),
    sa.Column("acknowledged", sa.Boolean, nullable=False),
    sa.Column("note", sa.Text),
)

feedback = sa.Table(
    "feedback",
    metadata,
    sa.Column("number", NUMBER, primary_key=True),  # in the order in which it was said
    sa.Column("detector", sa.String, nullable=False),
    sa.Column("stream", sa.String, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("score", sa.Float, nullable=False),  # of the event, had nothing been said before
    sa.Column("episode", sa.String),  # that was no anomaly
    sa.Column("time", sa.Float, nullable=False),  # of the event
    sa.Column("said", sa.Float, nullable=False),  # when
    sa.Column("undone", sa.Boolean, nullable=False),
    sa.Index("feedback_by_stream", "detector", "stream", "number"),
)

mutes = sa.Table(
    "mutes",
    metadata,
    sa.Column("number", NUMBER, primary_key=True),  # in the order in which they were made
    sa.Column("id", sa.String, unique=True, nullable=False),
    sa.Column("detector", sa.String),  # None: any
    sa.Column("stream", sa.String),  # by its name, else
    sa.Column("pattern", sa.String),
    sa.Column("features", sa.JSON, nullable=False),  # none: all
    sa.Column("start", sa.Float),  # Unix seconds
    sa.Column("end", sa.Float),
    sa.Column("every", sa.String),
    sa.Column("note", sa.Text),
    sa.Column("made", sa.Float, nullable=False),  # when
)

notifications = sa.Table(
    "notifications",
    metadata,
    sa.Column("number", NUMBER, primary_key=True),
    sa.Column("id", sa.String, unique=True, nullable=False),
    sa.Column("target", sa.String, nullable=False),
    sa.Column("episode", sa.String, nullable=False),
    sa.Column("detector", sa.String, nullable=False),
    sa.Column("stream", sa.String, nullable=False),
    sa.Column("body", sa.Text, nullable=False),  # the change as JSON
    sa.Column("state", sa.String, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("claimed", sa.Float, nullable=False),  # until when a sender has it, or it waits
    sa.Column("made", sa.Float, nullable=False),
    sa.Column("said", sa.Text),  # why it was not taken
    sa.Index("notifications_by_state", "target", "state", "number"),
    sa.Index("notifications_by_episode", "target", "episode", "number"),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("number", NUMBER, primary_key=True),
    sa.Column("time", sa.Float, nullable=False),  # Unix seconds
    sa.Column("who", sa.String, nullable=False),
    sa.Column("what", sa.String, nullable=False),
    sa.Column("of", sa.String, nullable=False),
    sa.Column("before", sa.Text),  # as JSON
    sa.Column("after", sa.Text),
)

dead_letters = sa.Table(
    "dead_letters",
    metadata,
    sa.Column("number", NUMBER, primary_key=True),
    sa.Column("id", sa.String, unique=True, nullable=False),
    sa.Column("detector", sa.String, nullable=False),
    sa.Column("topic", sa.String, nullable=False),
    sa.Column("partition", sa.Integer, nullable=False),
    sa.Column("offset", sa.BigInteger, nullable=False),
    sa.Column("timestamp", sa.Float, nullable=False),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("key", sa.LargeBinary),
    sa.Column("value", sa.LargeBinary),
    sa.Column("value_bytes", sa.Integer, nullable=False),  # before it was cut
    sa.Column("kept", sa.Float, nullable=False),
    sa.Index("dead_letters_by_age", "kept"),
)
