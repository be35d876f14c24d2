"""What waits to be sent, in a file or in a database that instances share."""

import pytest
import sqlalchemy as sa

from service.sinks import outbox
from service.sinks.history import History
from tests.service.notify.test_notify import change, claimed, deliver, outbox_of
from tests.service.test_history import on_postgres, postgres, url  # noqa: F401 - fixtures


@on_postgres
def test_an_instance_whose_clock_is_ahead_sends_nothing_of_anothers(
    url: sa.URL,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The database's clock counts, which they share."""
    history = History(url)
    to = outbox_of(history)
    deliver(to, change("opened", "minor", 1))
    waiting = to.claim("hook")
    assert waiting is not None
    monkeypatch.setattr(outbox, "now", lambda: 9e9)
    assert to.claim("hook") is None
    to.settle(waiting, "waiting", "away", seconds=60.0)
    assert to.claim("hook") is None
    to.settle(waiting, "waiting", "away", seconds=-1.0)
    assert claimed(to) == ["opened"]
    history.close()


def test_what_a_receiver_said_is_kept_whatever_it_was(url: sa.URL) -> None:  # noqa: F811
    """No text in PostgreSQL has a NUL; what is not noted would be sent again and again."""
    history = History(url)
    to = outbox_of(history)
    deliver(to, change("opened", "minor", 1))
    waiting = to.claim("hook")
    assert waiting is not None
    to.settle(waiting, "dead", "it answered 400: \0")
    (dead,), _ = to.listed("hook", "dead", None, 10)
    assert dead["said"] == "it answered 400: \\0"
    history.close()
