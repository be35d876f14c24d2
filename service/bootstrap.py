"""The only wiring: settings → parts."""

import fcntl
import shutil
import ssl
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import IO, NamedTuple

from model.artifact import Artifact, folder_of
from model.compiling import compile_beside
from model.errors import ArtifactError
from service.assignment import Assignment
from service.blocks.history import StreamHistory
from service.decoding.json import (
    LONGEST_FEATURE,
    Fields,
    JsonDecoder,
    Limits,
    Unpack,
    is_feature,
)
from service.decoding.registry import Registry
from service.detector import MEMORY_SHARE, Configured, Detector
from service.errors import SettingsError, StateError
from service.kafka.options import check_options, secrets_of
from service.kafka.owners import Owners
from service.kafka.rights import Right, needed
from service.kafka.transactions import Transactions
from service.keys import Keys
from service.memory.changelog import Changelog
from service.memory.kept import Left
from service.memory.sqlite import SqliteStore
from service.moving import Moving
from service.mutes import Mutes
from service.notify.post import Receiver
from service.notify.sender import Sender, Sending
from service.patterns import expression
from service.pipeline import Pipeline
from service.settings.api import LOOPBACK
from service.settings.detector import DetectorSettings
from service.settings.kafka import KafkaSettings
from service.settings.limits import LimitSettings
from service.settings.tree import Settings
from service.sinks.audit import AuditTable
from service.sinks.feedback import FeedbackTable
from service.sinks.history import History, url_of
from service.sinks.kafka import KafkaSink
from service.sinks.links import Links
from service.sinks.live import Live
from service.sinks.mutes import MuteTable
from service.sinks.outbox import Outbox, Target
from service.sinks.replies import Replies
from service.sinks.retention import Retention
from service.sinks.sink import Sink
from service.sources.kafka import KafkaSource
from service.sources.log import EmbeddedLog
from service.subscription import Subscription
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import spans

DATABASE = "wakeful.db"


class Secrets(NamedTuple):
    """What lies in files that the settings name, as it was when they were read."""

    history: str | None
    kafka: Mapping[str, str | None]
    registry: str | None

    @classmethod
    def of(cls, settings: Settings) -> "Secrets":
        kafka = settings.kafka
        return cls(
            settings.history.secret(), secrets_of(kafka.options), kafka.schema_registry.secret()
        )


@dataclass(slots=True)
class Service:
    """The parts of a running service, and what must be closed at its end."""

    settings: Settings
    pipeline: Pipeline
    history: History
    curves: StreamHistory
    live: Live
    feedback: FeedbackTable
    mutes: MuteTable
    audit: AuditTable
    outbox: Outbox
    sender: Sender
    retention: Retention
    replies: Replies
    metrics: Metrics
    log: EmbeddedLog | None
    owners: Owners | None
    keys: Keys
    secrets: Secrets = field(repr=False)
    _lock: IO[str] = field(repr=False)
    address: str | None = None
    reload: Callable[[], None] | None = None
    """Has the settings read again, where that is possible; SettingsError says what is wrong."""

    def advertise(self, address: str) -> None:
        """Let other instances of the group know where this one answers."""
        self.address = self.settings.api.advertise or address
        if self.pipeline.assignment is not None:
            self.pipeline.assignment.transactions.address = self.address

    def leave(self) -> dict[str, Left]:
        """Once the pipeline has ended, before the end of all: what another service of this process
        need not read again."""
        return {} if self.pipeline.assignment is None else self.pipeline.assignment.leave()

    def close(self) -> None:
        self.sender.close()
        self.retention.close()
        for sink in self.pipeline.sinks:
            sink.close()
        self.pipeline.source.close()
        if self.pipeline.assignment is not None:
            self.pipeline.assignment.close()
        self.pipeline.store.close()
        self._lock.close()


def build_service(settings: Settings, left: Mapping[str, Left] = MappingProxyType({})) -> Service:
    """Make every part; nothing runs yet. Raises SettingsError, ArtifactError or StateError. `left`
    are memories of a service before this one, with the same settings of Kafka."""
    with ExitStack() as undo:
        held = lock(settings.data_dir)
        undo.callback(held.close)
        service = _built(settings, held, left)
        undo.pop_all()
    return service


def _built(settings: Settings, held: IO[str], left: Mapping[str, Left]) -> Service:
    keys = closed(settings)
    secrets = Secrets.of(settings)
    shared = secrets.history
    url = None if shared is None else url_of(shared)
    history = History.of_file(settings.data_dir / DATABASE) if url is None else History(url)
    muted = MuteTable(history)
    mutes = Mutes(muted.listed)
    detectors = build_detectors(settings.detectors, settings.limits, mutes, unpacking(settings))
    curves = StreamHistory(
        settings.data_dir / "streams", list(settings.detectors), settings.history.max_bytes,
        settings.history.max_days,
    )  # fmt: skip
    live, replies, metrics = Live(), Replies(), Metrics(spans())
    metrics.free_bytes.set_function(lambda: shutil.disk_usage(settings.data_dir).free)
    outbox, sender = _notifying(settings, history, metrics)
    retention = Retention(history, outbox, settings.history.max_days, metrics)
    told: list[Sink] = [curves, history, outbox, live]
    kafka, log, owners = settings.kafka, None, None
    if kafka.bootstrap_servers:
        told.append(Links())
        pipeline = _of_kafka(
            settings, kafka.bootstrap_servers, detectors, told, metrics, mutes, left
        )
        owners = Owners(kafka.bootstrap_servers, kafka.options, kafka.group_id)
    else:
        database, seconds = settings.data_dir / DATABASE, settings.log.retention_hours * 3600.0
        log = EmbeddedLog(database, settings.limits.batch_events, seconds)
        pipeline = Pipeline(
            log, detectors, _topics(settings), SqliteStore(database), [*told, replies], metrics,
            settings.checkpoint.interval_seconds, mutes=mutes,
        )  # fmt: skip
    return Service(
        settings=settings, pipeline=pipeline, history=history, curves=curves, live=live,
        feedback=FeedbackTable(history), mutes=muted, audit=AuditTable(history), outbox=outbox,
        sender=sender, retention=retention, replies=replies, metrics=metrics, log=log,
        owners=owners, keys=keys, secrets=secrets, _lock=held,
    )  # fmt: skip


def _notifying(settings: Settings, history: History, metrics: Metrics) -> tuple[Outbox, Sender]:
    """Who is told of episodes, and what tells them."""
    targets = [
        Target(name, frozenset(to.detectors), expression(to.streams), to.least_severity, to.closed)
        for name, to in settings.notify.items()
    ]
    tls = ssl.create_default_context()
    receivers = [
        Sending(
            name,
            to.kind,
            Receiver(to.address(), to.private, tls, to.key()),
            settings.api.public_url,
        )
        for name, to in settings.notify.items()
    ]
    outbox = Outbox(history, targets)
    return outbox, Sender(outbox, receivers, metrics)


def closed(settings: Settings) -> Keys:
    """Whom the API lets in; SettingsError where that would be everyone on the network."""
    keys = Keys(settings.keys_file(), settings.api.secret())
    asked_for = keys.asked_for  # the file is looked at in any case: one that cannot be read is said
    if settings.api.host in LOOPBACK:
        return keys
    if not asked_for:
        raise SettingsError(
            f"api.host: {settings.api.host} is not loopback, and there is no key, so that the API "
            "would be open to everyone: make one with `wakeful keys create NAME --role admin`, or "
            "set api.token_file"
        )
    return Keys(settings.keys_file(), settings.api.secret(), required=True)


def build_detectors(
    configured: Mapping[str, DetectorSettings],
    limits: LimitSettings,
    mutes: Mutes | None = None,
    unpack: Unpack | None = None,
) -> list[Detector]:
    """With fresh memories, by name, each followed by the one that it replaces."""
    compile_beside()  # a first start waits for half as long
    replaced = sum(settings.replaces is not None for settings in configured.values())
    share = MEMORY_SHARE / (len(configured) + replaced)
    detectors: list[Detector] = []
    for name, settings in configured.items():
        detectors.append(build_detector(name, settings, limits, share, mutes, unpack))
        if settings.replaces is not None:
            detectors.append(
                _build_replaced(name, settings, limits, share, detectors[-1], mutes, unpack)
            )
    return detectors


def build_detector(
    name: str,
    settings: DetectorSettings,
    limits: LimitSettings,
    memory_share: float = MEMORY_SHARE,
    mutes: Mutes | None = None,
    unpack: Unpack | None = None,
) -> Detector:
    """One detector; SettingsError says which of its settings does not fit its artifact."""
    try:
        artifact = Artifact(folder_of(settings.artifact))
    except ArtifactError as error:
        raise SettingsError(f"detectors.{name}.artifact: {error}") from error
    features, discover = _features(name, settings, artifact, limits)
    for section, declared in (("direction", settings.direction), ("rules", settings.rules)):
        if not discover and (unknown := set(declared) - set(features)):
            raise SettingsError(
                f"detectors.{name}.{section}: {sorted(unknown)} are no features; "
                f"the features are {', '.join(features)}"
            )
    fields = Fields(
        settings.key,
        settings.times(),
        frozenset(settings.ignore),
        discover,
        artifact.config.categories,
    )
    bounds = Limits(
        limits.max_event_bytes,
        limits.max_stream_bytes,
        limits.max_features,
        limits.max_clock_skew_seconds,
    )
    configured = Configured(
        name,
        artifact,
        features,
        JsonDecoder(name, fields, bounds, unpack),
        settings.directions(),
        settings.false_alarms_per_week,
        limits.max_clock_skew_seconds,
        {feature: rule.terms() for feature, rule in settings.rules.items()},
        mutes or Mutes(),
        limits.max_resident_streams,
        memory_share,
        warm_up_seconds=settings.warm_up_hours * 3600.0,
    )
    return Detector(configured)


def _build_replaced(
    name: str,
    settings: DetectorSettings,
    limits: LimitSettings,
    share: float,
    new: Detector,
    mutes: Mutes | None,
    unpack: Unpack | None,
) -> Detector:
    """The same detector with the artifact that is to be replaced, and that artifact's features."""
    before = settings.model_copy(update={"artifact": settings.replaces})
    try:
        artifact = Artifact(folder_of(settings.replaces))
    except ArtifactError as error:
        raise SettingsError(f"detectors.{name}.replaces: {error}") from error
    if artifact.config.joint:
        known = set(artifact.config.features)
        kept = {
            section: {f: how for f, how in getattr(settings, section).items() if f in known}
            for section in ("direction", "rules")
        }
        before = before.model_copy(update={"features": None, **kept})
    old = build_detector(name, before, limits, share, mutes, unpack)
    if old.memory == new.memory:
        raise SettingsError(f"detectors.{name}.replaces: is the artifact itself; leave it out")
    return Detector(replace(old.configured, keeps_features=True))


def unpacking(settings: Settings) -> Unpack | None:
    """What puts the records of Kafka into JSON, where a schema registry is set; for one thread."""
    registry = registry_of(settings)
    if registry is None:
        return None
    try:
        from service.decoding.wire import Wire  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingsError(
            f"kafka.schema_registry.url: {error}; .venv/bin/pip install -e '.[schema-registry]'"
        ) from None
    return Wire(registry, settings.limits.max_event_bytes).unpack


def registry_of(settings: Settings) -> Registry | None:
    """The schema registry, where one is set and records come from Kafka."""
    registry = settings.kafka.schema_registry
    if registry.url is None or settings.kafka.bootstrap_servers is None:
        return None
    try:
        tls = ssl.create_default_context(cafile=registry.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"kafka.schema_registry.ca_file: {error}") from None
    password = registry.secret()
    credentials = None if password is None else f"{registry.username}:{password}"
    return Registry(registry.url.rstrip("/"), credentials, tls)


def _features(
    name: str, settings: DetectorSettings, artifact: Artifact, limits: LimitSettings
) -> tuple[tuple[str, ...], bool]:
    """The features to start with, and whether new ones are discovered."""
    wanted, trained = tuple(settings.features or ()), artifact.config.features
    if refused := next((one for one in wanted if not is_feature(one)), None):
        raise SettingsError(
            f"detectors.{name}.features: {refused[:LONGEST_FEATURE]!r}: a feature's name is "
            f"printable and has at most {LONGEST_FEATURE} bytes"
        )
    if len(wanted or trained) > limits.max_features:
        raise SettingsError(
            f"detectors.{name}: {len(wanted or trained)} features, at most {limits.max_features}"
        )
    if artifact.config.joint:
        if wanted and set(wanted) != set(trained):
            raise SettingsError(
                f"detectors.{name}.features: {', '.join(wanted)} are not those that "
                f"{artifact.folder} was trained on: {', '.join(trained)}"
            )
        return trained, False
    return wanted, not wanted


def _of_kafka(
    settings: Settings,
    servers: list[str],
    detectors: list[Detector],
    sinks: list[Sink],
    metrics: Metrics,
    mutes: Mutes,
    left: Mapping[str, Left],
) -> Pipeline:
    kafka, topics = settings.kafka, _topics(settings)
    check_options(kafka.options)
    name, mine = ours_of(settings)
    options, rights = {**kafka.options, "group.instance.id": name}, rights_of(settings, mine)
    watched, told = settings.subscription(), _told(kafka)
    source = KafkaSource(
        servers, watched, kafka.group_id, options, settings.limits.batch_events, rights,
        metrics.deleted_unread.inc,
    )  # fmt: skip
    transactions = Transactions(servers, kafka.options, mine, source.member, rights)
    changelog = Changelog(
        servers, kafka.options, kafka.group_id, kafka.memory_topic_of, transactions,
        settings.data_dir / "idle", told, rights, left=left,
    )  # fmt: skip
    changelog.topic_id_of = source.topic_id
    sink = KafkaSink(transactions, *told)
    assignment = Assignment(detectors, topics, changelog, transactions, sink)
    pipeline = Pipeline(
        source, detectors, topics, changelog, [*sinks, sink], metrics,
        settings.checkpoint.interval_seconds, assignment, mutes,
    )  # fmt: skip
    source.keeper = Moving(pipeline, assignment)
    return pipeline


def ours_of(settings: Settings) -> tuple[str, str]:
    """Our name in the group, and that of our transactions. A static member takes its partitions
    back at once after a crash; without a name the group waits for the dead one's session to end."""
    kafka = settings.kafka
    name = kafka.options.get("group.instance.id") or _instance(settings.data_dir)
    return name, f"{kafka.group_id}.{name}"


def rights_of(settings: Settings, mine: str) -> list[Right]:
    kafka = settings.kafka
    memories = sorted({kafka.memory_topic_of(name) for name in settings.detectors})
    return needed(settings.subscription().names, _told(kafka), memories, kafka.group_id, mine)


def _told(kafka: KafkaSettings) -> tuple[str, str, str]:
    return kafka.anomalies_topic, kafka.episodes_topic, kafka.dead_letters_topic


def _topics(settings: Settings) -> dict[str, Subscription]:
    return {name: settings.subscription(name) for name in settings.detectors}


def _instance(folder: Path) -> str:
    """The name of this data folder's member of the group, made once."""
    file = folder / "instance"
    if not file.exists():
        new = folder / "instance.new"
        new.write_text(f"wakeful-{uuid.uuid4().hex[:12]}\n", encoding="utf-8")
        new.replace(file)
    return file.read_text(encoding="utf-8").strip()


def lock(folder: Path) -> IO[str]:
    """One process a data folder: two would overwrite each other's memories."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("w")
    except OSError as error:
        raise StateError(
            f"data_dir {folder}: {error.strerror}; choose a folder to write in"
        ) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise StateError(
            f"data_dir {folder} is in use by another wakeful; choose another"
        ) from None
    return file
