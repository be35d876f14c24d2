"""Settings that are read again: what was asked for last is what counts, whenever that was."""

import pytest

from service.errors import SettingsError
from service.reloads import Reloads
from service.settings.tree import Settings

HERE = 0  # the turn of the first service


def test_what_was_read_follows_once() -> None:
    settings = Settings()
    reloads = Reloads(lambda: settings)
    reloads.ask()
    assert reloads.waiting
    reloads.look(HERE, lambda _: None)
    assert not reloads.waiting
    assert reloads.take() is settings
    assert reloads.take() is None


def test_who_asks_while_they_are_read_is_not_forgotten() -> None:
    """The file may have changed since."""
    reloads = Reloads(Settings)
    reloads.ask()
    reloads.look(HERE, lambda _: reloads.ask())
    assert reloads.waiting


def test_what_cannot_be_taken_follows_nobody() -> None:
    def refuse(_: Settings) -> None:
        raise SettingsError("no")

    reloads = Reloads(Settings)
    reloads.ask()
    with pytest.raises(SettingsError, match="no"):
        reloads.look(HERE, refuse)
    assert reloads.take() is None


def test_a_service_that_has_ended_leaves_it_to_the_next() -> None:
    """What it would check against is over."""
    read: list[Settings] = []

    def read_again() -> Settings:
        read.append(Settings())
        return read[-1]

    reloads = Reloads(read_again)
    reloads.take()
    reloads.ask()
    reloads.look(HERE, lambda _: None)
    assert not read
    assert reloads.waiting, "the next one looks as it begins"
    reloads.look(reloads.turn, lambda _: None)
    assert reloads.take() is read[0]
