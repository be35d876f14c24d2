"""What Alembic runs: on the connection that it is given."""

from alembic import context

from service.sinks.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters little by itself
)
with context.begin_transaction():
    context.run_migrations()
