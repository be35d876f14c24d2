"""Kafka as it is really run: who we are is proven, what we may do is granted, and what is missing
is said."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient

from service.errors import Unavailable
from service.kafka.options import URL
from service.kafka.rights import needed
from service.kafka.transactions import Message, Transactions
from service.kafka.trouble import Trouble
from tests.kafka.secured import (
    MECHANISMS,
    PASSWORD,
    Grant,
    Secured,
    least,
    write_token,
)
from tests.kafka.topics import TRACE, Names, made_topics, produce, read, sines
from tests.processes import POLL_SECONDS, WAIT_SECONDS, Wakeful

PARTITIONS = 2


@pytest.fixture
def topics(secured: Secured) -> Iterator[Names]:
    name = f"t{uuid.uuid4().hex[:10]}"
    with made_topics(secured.broker.address, name, PARTITIONS) as names:
        yield names


class Watched:
    """A service at the secured listener, and all that it was given to read."""

    def __init__(self, secured: Secured, topics: Names, folder: Path, **options: Any) -> None:
        self._topics = topics
        self.events = self.feeds = 0
        environment = topics.environment(WAKEFUL_KAFKA__BOOTSTRAP_SERVERS=secured.address)
        given = {**json.loads(environment["WAKEFUL_KAFKA__OPTIONS"]), **options}
        environment["WAKEFUL_KAFKA__OPTIONS"] = json.dumps(given)
        arguments = ("serve", "--data-dir", str(folder), "--port", "0")
        self.process = Wakeful(*arguments, environment=environment)

    def __enter__(self) -> "Watched":
        return self

    def __exit__(self, *raised: object) -> None:
        self.process.stop()

    def feed(self) -> None:
        """Events of 20 streams, anomalies among them, and one that is none."""
        later = 7200.0 * self.feeds
        some = [
            (stream, {**event, "time": event["time"] + later})
            for stream, event in sines(20, 100, seed=self.feeds)
        ]
        end = some[-1][1]["time"] + 60.0
        spikes = [(stream, {"time": end, "value": 1000.0 + later}) for stream, _ in some[:20]]
        produce(self._topics, [*some, *spikes, ("s-1", {"value": "high"})])
        self.feeds += 1
        self.events += len(some) + len(spikes) + 1

    def troubles(self) -> str:
        told = self.process.get("/readyz?verbose")
        return f"{told['waiting_for']} {told['checkpoint_postponed']}"

    def wait_told(self, *words: str) -> None:
        """That readyz and the log say so."""
        self.process.wait_for(lambda: _all_in(words, self.troubles()), f"{words} in readyz")
        self.process.wait_for(lambda: _all_in(words, "".join(self.process.log())), "and the log")

    def wait_done(self) -> None:
        """Ready, with all events accounted for, and nothing that waits to be told."""
        self.process.wait_for(
            lambda: (
                self.troubles() == "None None"
                and self.process.metric("wakeful_records_total") >= self.events
            ),
            f"{self.events} records read",
        )
        self.process.wait_delivered()


def _all_in(words: Iterable[str], text: str) -> bool:
    return all(word in text for word in words)


def right(grant: Grant) -> str:
    """As the service names it."""
    return f"{grant.operation.upper()} on the {grant.resource.replace('-', ' ')} {grant.name}"


def trouble_of(secured: Secured, topics: Names) -> Trouble:
    """What a service asks of its rights."""
    written = [topics.anomalies, topics.episodes, topics.dead_letters]
    ours = needed([topics.events], written, [topics.memory], topics.events, f"{topics.events}.x")
    return Trouble([secured.address], secured.options("PLAIN"), ours)


def refusal(trouble: Trouble, none: bool = False) -> str:
    """What is said of rights, once what was granted or revoked has come to the broker."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            trouble.check()
        except Unavailable as error:
            if not none:
                return str(error)
        else:
            if none:
                return ""
        time.sleep(POLL_SECONDS)
    raise AssertionError("rights did not change")


def whole(secured: Secured, topics: Names) -> dict[str, int]:
    """How many each topic has of what was told, each once, with its record's headers."""
    found = {}
    for topic in (topics.anomalies, topics.episodes, topics.dead_letters):
        headers = [one.headers for one in read(secured.broker.address, topic)]
        ids = [dict(some)["wakeful.id"] for some in headers]
        assert len(set(ids)) == len(ids)
        assert all(some[0] == TRACE[0] for some in headers)
        found[topic] = len(ids)
    return found


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_whole_way_works_with_least_rights(
    secured: Secured, topics: Names, tmp_path: Path, mechanism: str
) -> None:
    write_token(secured.folder)
    secured.grant(least(topics))
    with Watched(secured, topics, tmp_path, **secured.options(mechanism)) as watched:
        watched.process.wait_ready()
        watched.feed()
        watched.wait_done()
        assert PASSWORD not in "".join(watched.process.log())
        anomalies = watched.process.pages("/api/v1/anomalies")
    if mechanism == "PLAIN":  # what comes back is the same however we prove who we are
        with Watched(secured, topics, tmp_path, **secured.options(mechanism)) as watched:
            watched.process.wait_for(  # the memories come back from their topic
                lambda: watched.process.get("/api/v1/streams/s-1").get("events") == 101, "memories"
            )
            assert watched.process.pages("/api/v1/anomalies") == anomalies
    told = whole(secured, topics)
    assert told[topics.anomalies] == len(anomalies) > 0
    assert told[topics.episodes] > 0
    assert told[topics.dead_letters] == 1


def test_each_right_that_is_missing_is_named(secured: Secured, topics: Names) -> None:
    rights = [grant for grant in least(topics) if grant.operation != "Create"]
    with closing(KafkaAdminClient(bootstrap_servers=secured.broker.address)) as admin:
        admin.create_topics({topics.memory: {"num_partitions": PARTITIONS}})
    trouble = trouble_of(secured, topics)
    secured.grant(rights)
    refusal(trouble, none=True)
    for grant in rights:
        secured.revoke([grant])
        told = refusal(trouble)
        assert told.startswith(f"kafka: we lack the right to {right(grant)}")
        assert told.count("--add") == 1
        secured.grant([grant])
        refusal(trouble, none=True)


def test_a_service_without_rights_waits_for_them(
    secured: Secured, topics: Names, tmp_path: Path
) -> None:
    create = Grant("Create", "topic", topics.memory)
    rights = [grant for grant in least(topics) if grant != create]
    with Watched(secured, topics, tmp_path, **secured.options("PLAIN")) as watched:
        watched.wait_told(*map(right, rights))
        secured.grant(rights)
        watched.wait_told(right(create))
        secured.grant([create])
        watched.feed()
        watched.wait_done()
    assert whole(secured, topics)[topics.dead_letters] == 1


def test_each_right_that_goes_is_named_and_nothing_is_lost_when_it_comes_back(
    secured: Secured, topics: Names, tmp_path: Path
) -> None:
    """The memories' own are needed where memories move: that is tested above."""
    rights, trouble = least(topics), trouble_of(secured, topics)
    secured.grant(rights)
    unused = [one for one in rights if one.name == topics.memory and one.operation != "Write"]
    with Watched(secured, topics, tmp_path, **secured.options("PLAIN")) as watched:
        watched.process.wait_ready()
        rounds = [one for one in rights if one not in unused]
        for grant in rounds:
            secured.revoke([grant])
            refusal(trouble)  # it has come to the broker
            watched.feed()
            watched.wait_told(right(grant))
            secured.grant([grant])
            watched.wait_done()
            watched.process.wait_for(
                lambda: whole(secured, topics)[topics.dead_letters] == watched.feeds, "told"
            )
        anomalies = watched.process.pages("/api/v1/anomalies")
        assert watched.process.get("/api/v1/streams/s-1")["events"] == 101 * len(rounds)
    assert whole(secured, topics)[topics.anomalies] == len(anomalies)


def _expired(secured: Secured) -> dict[str, Any]:
    write_token(secured.folder, seconds=-60.0)
    return secured.options("OAUTHBEARER")


WRONG: dict[str, tuple[Callable[[Secured], dict[str, Any]], str]] = {
    "password": (
        lambda s: {**s.options("PLAIN"), "sasl.password.file": str(s.authority)},
        "does not take our credentials",
    ),
    "scram password": (
        lambda s: {**s.options("SCRAM-SHA-512"), "sasl.password.file": str(s.authority)},
        "does not take our credentials",
    ),
    "expired token": (_expired, "renew the token"),
    "no token": (
        lambda s: {**s.options("OAUTHBEARER"), URL: (s.folder / "none").as_uri()},
        "none'; put it right",
    ),
    "mechanism": (
        lambda s: {**s.options("PLAIN"), "sasl.mechanism": "SCRAM-SHA-256"},
        "does not offer this sasl.mechanism",
    ),
    "authority": (
        lambda s: {**s.options("PLAIN"), "ssl.ca.location": str(s.folder / "other-ca.pem")},
        "set ssl.ca.location to the PEM file",
    ),
    "protocol": (
        lambda _: {"security.protocol": "PLAINTEXT"},
        "do security.protocol and sasl.mechanism go with its listener?",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_with_a_connection_is_said_without_a_secret(
    secured: Secured, topics: Names, wrong: str
) -> None:
    options, words = WRONG[wrong]
    ours = needed([topics.events], [], [], topics.events, f"{topics.events}.x")
    threads = threading.enumerate()
    with pytest.raises(Unavailable) as refused:
        Trouble([secured.address], options(secured), ours).check()
    assert PASSWORD not in str(refused.value)
    assert words in str(refused.value)
    for left in threading.enumerate():  # who tries again and again must leave none behind
        if left not in threads:
            left.join(WAIT_SECONDS)
            assert not left.is_alive()


def test_a_brokers_certificate_must_have_its_name(secured: Secured, topics: Names) -> None:
    ours = needed([topics.events], [], [], topics.events, f"{topics.events}.x")
    with pytest.raises(Unavailable, match="the names in it"):
        Trouble([f"localhost:{secured.port}"], secured.options("PLAIN"), ours).check()


def test_a_password_that_is_changed_is_waited_for(
    secured: Secured, topics: Names, tmp_path: Path
) -> None:
    """Wrong at the start; and changed while it runs, first at the broker, then in the file."""
    secured.grant(least(topics))
    file = tmp_path / "password"
    file.write_text("not it", encoding="utf-8")
    options = {**secured.options("SCRAM-SHA-512"), "sasl.password.file": str(file)}
    try:
        with Watched(secured, topics, tmp_path / "data", **options) as watched:
            watched.wait_told("does not take our credentials")
            file.write_text(PASSWORD, encoding="utf-8")
            watched.feed()
            watched.wait_done()
            secured.set_password("another-one")
            watched.feed()
            watched.wait_told("does not take our credentials")
            file.write_text("another-one", encoding="utf-8")
            watched.wait_done()
            watched.process.wait_for(
                lambda: whole(secured, topics)[topics.dead_letters] == 2, "both are told"
            )
            log = "".join(watched.process.log())
    finally:
        secured.set_password(PASSWORD)
    assert not any(secret in log for secret in ("not it", PASSWORD, "another-one"))
    assert whole(secured, topics)[topics.dead_letters] == 2


def test_a_topic_that_is_not_there_is_named(
    secured: Secured, topics: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.kafka.transactions.BLOCK_MS", 500)
    absent = f"{topics.events}.absent"
    ours = needed([topics.events], [absent], [], topics.events, f"{topics.events}.x")
    transactions = Transactions([topics.servers], {}, f"{topics.events}.x", lambda: None, ours)
    with pytest.raises(Unavailable, match=f"no topic {absent} yet"):
        transactions.commit([Message(absent, None, b"x")], {}, lambda: None)
    with closing(KafkaAdminClient(bootstrap_servers=topics.servers)) as admin:
        admin.create_topics({absent: {"num_partitions": 1}})
    transactions.commit([Message(absent, None, b"x")], {}, lambda: None)
    transactions.close()
    assert [one.value for one in read(topics.servers, absent)] == [b"x"]
