"""Which topics are read: those that are added, that come late, and that go."""

import json
import signal
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer

from service.errors import Unavailable
from service.records import Partition
from service.sources.kafka import KafkaSource
from service.subscription import Subscription
from tests.kafka.test_source import Positioned
from tests.kafka.topics import FOR_EVER, TRACE, Names
from tests.processes import WAIT_SECONDS, Wakeful

HASTY = "tests.kafka.hasty"
OPTIONS = {"metadata.max.age.ms": 300, "session.timeout.ms": 30_000}


class Cluster:
    """Topics that begin with a name of their own."""

    def __init__(self, servers: str) -> None:
        self.servers = servers
        self.name = f"w{uuid.uuid4().hex[:10]}"
        self.admin = KafkaAdminClient(bootstrap_servers=servers)

    def full(self, topic: str) -> str:
        """Its name, or a pattern's."""
        pattern = topic.startswith("^")
        return f"^{self.name}[.]{topic[1:]}" if pattern else f"{self.name}.{topic}"

    def make(self, *topics: str, partitions: int = 1) -> None:
        made = {"num_partitions": partitions, "configs": FOR_EVER}
        self.admin.create_topics({f"{self.name}.{topic}": made for topic in topics})

    def delete(self, *topics: str) -> None:
        self.admin.delete_topics([f"{self.name}.{topic}" for topic in topics], raise_errors=False)

    def widen(self, topic: str, partitions: int) -> None:
        self.admin.create_partitions({f"{self.name}.{topic}": partitions})

    def close(self) -> None:
        with closing(self.admin):
            ours = [topic for topic in self.admin.list_topics() if topic.startswith(self.name)]
            self.admin.delete_topics(ours, raise_errors=False)


@pytest.fixture
def cluster(bootstrap_servers: str) -> Iterator[Cluster]:
    with closing(Cluster(bootstrap_servers)) as cluster:
        yield cluster


class Member:
    """A member of the group that has the cluster's name; by its own name it comes back."""

    def __init__(self, cluster: Cluster, name: str, *topics: str) -> None:
        self._cluster = cluster
        options = {**OPTIONS, "group.instance.id": name}
        told = Subscription.of(map(cluster.full, topics), [cluster.full("anomalies")])
        self.source = KafkaSource([cluster.servers], told, cluster.name, options, 1000)
        self.source.keeper = Positioned({}, lambda: None)
        self.source.start({})

    def close(self) -> None:
        self.source.close()

    @property
    def has(self) -> set[str]:
        """Its partitions, without the cluster's name."""
        places = self.source._consumer.assignment() if self.source._consumer else ()
        return {
            f"{at.topic.removeprefix(self._cluster.name + '.')}/{at.partition}" for at in places
        }


def wait_all_have(members: list[Member], *wanted: str) -> None:
    """Until they have just these partitions between them, each of them one owner."""
    for _ in range(int(WAIT_SECONDS / 0.05)):
        for member in members:
            member.source.poll(0.05)
        owned = sorted(place for member in members for place in member.has)
        if owned == sorted(wanted):
            return
    raise AssertionError(f"{owned} are read, not {wanted}")


def test_partitions_that_are_added_after_its_leader_came_back_are_found(cluster: Cluster) -> None:
    cluster.make("a")
    with closing(Member(cluster, "one", "a")) as member:
        wait_all_have([member], "a/0")
    with closing(Member(cluster, "one", "a")) as member:
        wait_all_have([member], "a/0")
        cluster.widen("a", 3)
        wait_all_have([member], "a/0", "a/1", "a/2")


@pytest.mark.parametrize("who", ["leader", "follower", "idle follower"])
def test_who_comes_back_with_another_topic_is_given_it(cluster: Cluster, who: str) -> None:
    cluster.make("a", partitions=1 if who.startswith("idle") else 2)
    cluster.make("b")
    before = ["a/0"] if who.startswith("idle") else ["a/0", "a/1"]
    with closing(Member(cluster, "one", "a")) as leader:
        wait_all_have([leader], *before)
        with closing(Member(cluster, "two", "a")) as follower:
            wait_all_have([leader, follower], *before)
            gone = leader if who == "leader" else follower
            gone.close()
            name = "one" if who == "leader" else "two"
            with closing(Member(cluster, name, "a", "b")) as back:
                stays = follower if who == "leader" else leader
                wait_all_have([stays, back], *before, "b/0")
                assert "b/0" in back.has


def test_topics_that_fit_a_pattern_are_read_when_they_come_and_let_go_when_they_go(
    cluster: Cluster,
) -> None:
    cluster.make("x-1", "anomalies", "y")
    with closing(Member(cluster, "one", "^(x|anom)", "z")) as one:
        wait_all_have([one], "x-1/0")
        cluster.make("x-2", partitions=2)
        cluster.make("z")
        wait_all_have([one], "x-1/0", "x-2/0", "x-2/1", "z/0")
        with closing(Member(cluster, "two", "^(x|anom)", "z")) as two:
            wait_all_have([one, two], "x-1/0", "x-2/0", "x-2/1", "z/0")
            cluster.delete("x-1", "z")
            wait_all_have([one, two], "x-2/0", "x-2/1")
            cluster.make("x-3")
            wait_all_have([one, two], "x-2/0", "x-2/1", "x-3/0")


def test_a_topic_that_goes_before_its_memories_come_holds_up_no_other(cluster: Cluster) -> None:
    cluster.make("a", "b")
    with closing(Member(cluster, "one", "a", "b")) as one:
        keeper = Late({}, lambda: None)
        one.source.keeper = keeper
        wait_all_have([one], "a/0", "b/0")
        cluster.delete("a")
        keeper.here = True
        with suppress(Unavailable):  # it may say that the topic is gone
            one.source.poll(0.05)
        assert (cluster.full("b"), 0) in keeper.positions


class Late(Positioned):
    """All come together, the first by name first."""

    here = False

    def arrived(self) -> dict[Partition, int | None]:
        return dict(sorted(super().arrived().items())) if self.here else {}


class Served:
    """A service that reads some of the cluster's topics, as its settings file says."""

    def __init__(
        self, cluster: Cluster, folder: Path, *topics: str, module: str = "service"
    ) -> None:
        self._names = Names(cluster.servers, cluster.name, 1)
        self._cluster, self._file = cluster, folder / "wakeful.json"
        self._sent: Counter[str] = Counter()
        self.set_topics(*topics)
        environment = self._names.environment()
        del environment["WAKEFUL_KAFKA__TOPICS"]
        options = {**json.loads(environment["WAKEFUL_KAFKA__OPTIONS"]), **OPTIONS}
        environment["WAKEFUL_KAFKA__OPTIONS"] = json.dumps(options)
        arguments = ("--config", str(self._file), "--data-dir", str(folder / "data"))
        self.process = Wakeful(
            "serve", *arguments, "--port", "0", environment=environment, module=module
        )

    def set_topics(self, *topics: str) -> None:
        body = {"kafka": {"topics": [*map(self._cluster.full, topics)]}}
        self._file.write_text(json.dumps(body), encoding="utf-8")

    def send(self, topic: str, stream: str, count: int = 1) -> None:
        name = f"{self._cluster.name}.{topic}"
        known = self._sent[stream]
        self._sent[stream] += count
        with closing(KafkaProducer(bootstrap_servers=self._cluster.servers)) as producer:
            for n in range(known, known + count):
                value = json.dumps({"time": 1.7e9 + 60.0 * n, "value": float(n % 7)}).encode()
                producer.send(name, value, stream.encode(), headers=TRACE).get(WAIT_SECONDS)
        self.process.wait_for(
            lambda: self.about(stream).get("events") == known + count,
            f"{known + count} events of {stream}",
        )

    def about(self, stream: str) -> Any:
        """Its memory, or why there is none to be seen."""
        return self.process.get(f"/api/v1/streams/{stream}")

    def saved(self) -> int:
        """Up to where the group's offsets are, all topics together."""
        with closing(KafkaAdminClient(bootstrap_servers=self._cluster.servers)) as admin:
            offsets = admin.list_group_offsets(self._cluster.name)[self._cluster.name]
        return sum(
            told.offset for at, told in offsets.items() if at.topic != self._cluster.full("x-1")
        )

    def wait_told(self, *words: str) -> None:
        """That readyz and the log say so."""
        for name, text in (
            ("readyz", lambda: self.process.text("/readyz?verbose")),
            ("the log", lambda: "".join(self.process.log())),
        ):
            self.process.wait_for(lambda t=text: all(w in t() for w in words), f"{words} in {name}")  # type: ignore[misc]

    def close(self) -> None:
        self.process.stop()


def test_a_reload_adds_a_topic_and_loses_no_memory(cluster: Cluster, tmp_path: Path) -> None:
    cluster.make("a", "b", "dead-letters", "anomalies", "episodes")
    with closing(Served(cluster, tmp_path, "a")) as served:
        served.send("a", "s", 20)
        served.set_topics("a", "b")
        served.process.process.send_signal(signal.SIGHUP)
        served.send("b", "t", 5)
        served.send("a", "s", 5)
        assert served.about("s")["events"] == 25


def test_a_pattern_waits_for_its_first_topic_and_goes_on_when_one_is_deleted(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.make("dead-letters", "anomalies", "episodes")
    with closing(Served(cluster, tmp_path, "^", module=HASTY)) as served:
        served.wait_told("no topic ^", cluster.name)
        cluster.make("x-1", "x-2")
        served.send("x-1", "s", 20)
        served.send("x-2", "t", 20)
        cluster.delete("x-1")
        served.process.wait_for(lambda: served.about("s").get("status") == 404, "it is let go")
        served.send("x-2", "t", 20)
        served.process.wait_for(lambda: served.saved() >= 40, "saved")
        assert served.process.get("/readyz?verbose")["status"] == "ready"


def test_a_topic_of_several_that_is_not_there_is_told_while_others_are_read(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.make("a", "dead-letters", "anomalies", "episodes")
    with closing(Served(cluster, tmp_path, "a", "b", module=HASTY)) as served:
        served.send("a", "s", 5)
        served.wait_told(cluster.full("b"))
        cluster.make("b")
        served.send("b", "t", 5)
        cluster.delete("b")
        served.wait_told(cluster.full("b"))
        served.send("a", "s", 5)
        served.process.wait_for(lambda: served.saved() >= 10, "saved")
