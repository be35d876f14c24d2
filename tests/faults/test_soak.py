"""The soak in its short form, and that it would say what is wrong; the long one is `make soak`."""

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import HOW_TO_KAFKA, kafka_home
from tests.faults.soak.run import Length, soak
from tests.faults.soak.scenes import BROKER, CALM, SETTINGS, SINKS, Window
from tests.faults.soak.verdict import WHOLE, Verdict, growth, waited
from tests.faults.soak.watching import Sample

SHORT = Length(whole=0.0, scene=0.5, measured=0.5, faults=6)  # all that need no other broker


def test_nothing_is_lost_or_doubled_while_sinks_die_and_settings_are_read(tmp_path: Path) -> None:
    home = kafka_home()
    if home is None:
        pytest.skip(f"no broker of our own: {HOW_TO_KAFKA}")
    verdict = soak(home, tmp_path, SHORT)
    assert verdict.missing == {}
    assert len(verdict.samples) >= 2
    assert verdict.sent > 1000
    assert verdict.events_per_second > 0
    assert any(one.kind == CALM and one.anomalies for one in verdict.waited)
    assert verdict.reloads == 1
    assert verdict.connected >= 2, "the page came back after the reload"
    assert {one.kind for one in verdict.waited} == {CALM, SINKS, SETTINGS, WHOLE}


def samples(percent_an_hour: float, hours: float = 1.0, noise: float = 1.0) -> list[Sample]:
    """Of a process of 400 MB, every five seconds."""
    times = np.arange(0.0, 3600.0 * hours, 5.0)
    random = np.random.default_rng(1)
    sizes = 400.0 * (1.0 + percent_an_hour / 100.0 * times / 3600.0)
    sizes += noise * random.normal(size=len(times))
    return [Sample(t, mb, mb, 30, 12) for t, mb in zip(times, sizes, strict=True)]


def heard(each: dict[str, float]) -> tuple[list[Window], list[tuple[float, float]]]:
    """A window of a minute for each name, and anomalies that were heard of after so long."""
    kinds = {"hangs": SINKS, "killed": BROKER, CALM: CALM}
    windows = [Window(kinds[name], name, 60.0 * n, 60.0 * n + 60.0) for n, name in enumerate(each)]
    times = np.arange(0.0, 60.0, 0.1)
    return windows, [
        (60.0 * n + float(time), seconds)
        for n, seconds in enumerate(each.values())
        for time in times
    ]


def verdict(
    percent: float = 0.0,
    hangs: float = 0.1,
    killed: float = 9.0,
    recovery: float = 20.0,
    files: float = 0.0,
    answer: str = "200",
    **missing: int,
) -> Verdict:
    windows, told = heard({CALM: 0.1, "hangs": hangs, "killed": killed})
    sampled = samples(percent)
    growths = {"rss": growth(sampled, "rss"), "files": growth(samples(files), "rss")}
    windows.append(Window(BROKER, "killed", 0.0, 0.0, recovery))
    return Verdict(
        sampled, 60.0, 1000.0, 100, missing, growths, waited(windows, told), {answer: 5}, 8, 9
    )


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        (verdict(), ""),
        (verdict(percent=0.5), ""),
        (verdict(percent=3.0), "rss grows"),
        (verdict(files=3.0), "files grows"),
        (verdict(answer="503"), ""),
        (verdict(answer="500"), "5 answers 500"),
        (verdict(hangs=0.2), ""),
        (verdict(killed=30.0), ""),
        (verdict(recovery=61.0), "killed: it kept up again only after 61 s"),
        (verdict(anomalies=2), "2 anomalies"),
    ],
)
def test_what_is_wrong_is_said(found: Verdict, wrong: str) -> None:
    assert [one[: len(wrong)] for one in found.wrong()] == ([wrong] if wrong else [])


def test_a_dead_sink_that_holds_up_scores_is_said() -> None:
    slower = "p99 is 3.0 of that when calm"
    expected = {f"hangs: {slower}", f"all with a broker: {slower}"}
    assert set(verdict(hangs=0.3).wrong()) == expected


def test_a_short_run_proves_no_growth() -> None:
    """Percent an hour of minutes are mostly noise."""
    assert growth(samples(0.0, hours=0.1, noise=4.0), "rss").least < 1.0
    assert growth(samples(30.0, hours=0.1), "rss").least > 1.0
