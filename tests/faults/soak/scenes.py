"""What happens while events come: one scene after the other."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

from service.bench.broker import Broker
from service.sinks.history import url_of
from tests.faults.soak.hook import Hook
from tests.faults.soak.load import Load
from tests.processes import Wakeful

CALM, SINKS, SETTINGS, BROKER = "calm", "sinks", "settings", "broker"
BROKER_DOWN_SECONDS = 2.0
KILL_EVERY_SECONDS = 1.0
QUIET_RECORDS = 500  # that wait, at most, where it keeps up
POLL_SECONDS = 0.1
BEFORE_SECONDS = 2.0  # a pause: what is due then is on its way, and is not of calm times
SETTLE_SECONDS = 300.0  # the first start compiles


@dataclass(frozen=True)
class Window:
    """A scene that was; of events that were due in it. `recovery`: seconds until the service kept
    up again, once the broker was back or the settings were read."""

    kind: str
    name: str
    start: float
    end: float
    recovery: float | None = None


@dataclass
class Stage:
    """The service, and all that can be done to it."""

    service: Wakeful
    broker: Broker
    hook: Hook
    load: Load
    database: str | None
    settings: Callable[[int], Path]
    """Writes the settings once more, a little different."""
    windows: list[Window] = field(default_factory=list)
    reloads: int = 0
    begun: float = field(default_factory=time.time)

    def play(self, seconds: float, until: float, least: int) -> None:
        """Scenes of so many seconds until then, and at least so many faults; each kind comes before
        one comes again."""
        faults = [
            (SINKS, "the receiver refuses", self._refusing), (SINKS, "it hangs", self._hanging),
            (SETTINGS, "reload", self._reload), (SINKS, "it answers 500", self._failing),
            (SETTINGS, "mute", self._muted), (BROKER, "kill -9 of the broker", self._killed),
            (SETTINGS, "reload", self._reload), (BROKER, "the broker restarts", self._restarted),
        ]  # fmt: skip
        if self.database is not None:
            faults.insert(3, (SINKS, "connections to the database end", self._disconnected))
        n = 0
        while n < least or time.time() < until:
            self._scene(CALM, CALM, time.sleep, seconds)
            kind, name, happen = faults[n % len(faults)]
            self._scene(kind, name, happen, seconds)
            n += 1
        self.settle()

    def settle(self) -> float:
        """Until it keeps up; the seconds."""
        started = time.monotonic()
        while not self._keeps_up():
            if self.service.process.poll() is not None:
                raise RuntimeError(f"the service ended: {self.service.said()}")
            if time.monotonic() > started + SETTLE_SECONDS:
                raise RuntimeError(f"it does not keep up: {self.service.said()}")
            time.sleep(POLL_SECONDS)
        return time.monotonic() - started

    def _keeps_up(self) -> bool:
        try:
            body = self.service.get("/readyz?verbose")
        except OSError:
            return False
        lag = body["lag_records"]
        if body["status"] != "ready" or lag is None:
            return False
        if lag + self.load.waiting > QUIET_RECORDS:
            return False
        return self.load.kept_up_with(self.service.get("/api/v1/now").get("event_time"))

    def _scene(
        self, kind: str, name: str, happen: Callable[[float], float | None], seconds: float
    ) -> None:
        start = time.time()
        recovery = happen(seconds)
        if kind == SETTINGS:
            time.sleep(max(0.0, start + seconds - time.time()))
        self.windows.append(Window(kind, name, start, time.time(), recovery))
        print(f"{time.time() - self.begun:7.0f} s  {name}", flush=True)  # noqa: T201 - it takes hours

    def _refusing(self, seconds: float) -> None:
        self.hook.refuse()
        self._wait_and_recover(seconds)

    def _hanging(self, seconds: float) -> None:
        self.hook.hang()
        self._wait_and_recover(seconds)

    def _failing(self, seconds: float) -> None:
        self.hook.fail()
        self._wait_and_recover(seconds)

    def _wait_and_recover(self, seconds: float) -> None:
        time.sleep(seconds)
        self.hook.recover()

    def _disconnected(self, seconds: float) -> None:
        assert self.database is not None
        engine = sa.create_engine(url_of(self.database))
        end = sa.text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        until = time.time() + seconds
        while time.time() < until:
            with engine.begin() as connection:
                connection.execute(end)
            time.sleep(KILL_EVERY_SECONDS)
        engine.dispose()

    def _reload(self, seconds: float) -> float:
        time.sleep(min(seconds, BEFORE_SECONDS))
        return self.reload()

    def reload(self) -> float:
        """Have the settings read again; the seconds until it keeps up."""
        self.reloads += 1
        self.settings(self.reloads)
        before = self._restarts()
        self.service.process.send_signal(signal.SIGHUP)
        self.service.wait_for(lambda: self._restarts() > before, "the settings are read")
        return self.settle()

    def _restarts(self) -> int:
        return sum("going on with the settings" in line for line in self.service.log())

    def _muted(self, seconds: float) -> None:
        body = b'{"pattern": "muted-*", "id": "soak"}'
        self.service.post("/api/v1/mutes", body)
        time.sleep(seconds / 2)
        self.service.delete("/api/v1/mutes/soak")

    def _killed(self, seconds: float) -> float:
        return self._without_broker(signal.SIGKILL, seconds)

    def _restarted(self, seconds: float) -> float:
        return self._without_broker(signal.SIGTERM, seconds)

    def _without_broker(self, signal_number: int, seconds: float) -> float:
        time.sleep(min(seconds, BEFORE_SECONDS))
        self.broker.kill(signal_number)
        time.sleep(BROKER_DOWN_SECONDS)
        self.broker.start()
        return self.settle()


def measured(stage: Stage, seconds: float) -> float:
    """Events a second that it takes, while they are sent as fast as they can be."""

    def taken() -> float:
        return stage.service.metric("wakeful_records_total")

    before = taken()
    stage.load.pace(1e6)
    stage.service.wait_for(lambda: taken() > before, "taken")
    time.sleep(seconds)
    first, started = taken(), time.monotonic()
    time.sleep(seconds)
    stage.service.wait_for(lambda: taken() > first, "taken")  # however busy the machine is
    rate = (taken() - first) / (time.monotonic() - started)
    stage.load.pace(0.0)
    stage.settle()
    return rate
