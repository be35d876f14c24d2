"""`wakeful state`: memories as files, and beside each other."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from service.bootstrap import DATABASE, build_detectors, lock
from service.errors import StateError
from service.kafka.owners import members
from service.kafka.transactions import Transactions
from service.memory import archive
from service.memory.archive import Memories
from service.memory.changelog import Changelog
from service.memory.sqlite import SqliteStore
from service.memory.store import StateStore, made_by, memory_name, owner_of, streams_of
from service.records import Partition
from service.settings.tree import Settings
from service.sources.log import PARTITION


@dataclass(frozen=True, slots=True)
class Place:
    """Where the configured service keeps its memories: `names` are what they are called there, each
    with the partitions that it is of."""

    store: StateStore
    names: dict[str, Sequence[Partition]]

    def memories(self) -> Iterator[Memories]:
        """All that there are, those of artifacts that are not configured as well."""
        done: set[str] = set()
        for name, partitions in self.names.items():
            yield from self._stored(name, partitions, done)
            for other in self.store.others(name):
                yield from self._stored(other, partitions, done)

    def _stored(
        self, name: str, partitions: Sequence[Partition], done: set[str]
    ) -> Iterator[Memories]:
        found = None if name in done else archive.stored(self.store, name, partitions)
        done.add(name)
        if found is not None:
            yield found


def export_state(settings: Settings, file: Path) -> int:
    """Write the memories to a new file; how many."""
    with place_of(settings) as place:
        return archive.write(file, place.memories())


def import_state(settings: Settings, file: Path) -> int:
    """Put a file's memories where the configured service will look for them; how many."""
    _check_nobody(settings)
    with place_of(settings) as place:
        some = list(archive.read(file))  # before anything is written, the whole file is read
        ours = {streams_of(name) for name in place.names}
        names = {memories.contents.name for memories in some}
        if strangers := sorted(name for name in names if streams_of(name) not in ours):
            raise StateError(
                f"{file}: has memories of {', '.join(strangers)}, and the settings are of "
                f"{', '.join(place.names)}: detectors, topics and partitions must be the "
                "same"
            )
        for memories in some:
            if isinstance(place.store, Changelog):
                detector, _, partition = owner_of(memories.contents.name)
                place.store.make_topics(partition, [detector])
            archive.require_free(memories, place.store)
        for memories in some:
            archive.save(memories, place.store)
        return sum(len(memories.rows) for memories in some)


def drop_state(settings: Settings, fingerprint: str) -> list[str]:
    """Let the memories that an artifact made go; their names. StateError where it is configured."""
    with place_of(settings) as place:
        if used := sorted(name for name in place.names if made_by(name) == fingerprint):
            raise StateError(
                f"artifact {fingerprint} is configured ({', '.join(used)}): take it out first"
            )
        found = [
            m.contents.name for m in place.memories() if made_by(m.contents.name) == fingerprint
        ]
        for name in found:
            place.store.drop(name)
        return found


def memories_of(settings: Settings, file: Path | None) -> list[Memories]:
    """A file's, or without one those of the configured service."""
    if file is not None:
        return list(archive.read(file))
    with place_of(settings) as place:
        return list(place.memories())


def summary_of(memories: Memories) -> dict[str, object]:
    """What is there under one name, in words."""
    contents = memories.contents
    return {
        "memories": contents.name,
        "streams": len(memories.rows),
        "bytes": sum(len(row) for _, row in memories.rows.values()),
        "artifact": contents.fingerprint,
        "format": contents.format,
        "features": ",".join(contents.features),
        "positions": {f"{topic}-{number}": at for topic, number, at in contents.positions},
    }


@contextmanager
def place_of(settings: Settings) -> Iterator[Place]:
    """Unavailable, or StateError, where it cannot be read now."""
    detectors = build_detectors(settings.detectors, settings.limits)
    made_by = [(one.name, one.artifact.fingerprint_text) for one in detectors]
    if settings.kafka.bootstrap_servers is not None:
        with TemporaryDirectory() as folder, closing(_changelog(settings, Path(folder))) as store:
            names: dict[str, Sequence[Partition]] = {
                memory_name(detector, fingerprint, partition): [partition]
                for detector, fingerprint in made_by
                for partition in store.partitions(settings.subscription(detector))
            }
            try:
                yield Place(store, names)
            finally:
                store.stop_reading()
        return
    if not settings.data_dir.is_dir():
        raise StateError(f"data_dir {settings.data_dir}: there is no such folder")
    with (
        closing(lock(settings.data_dir)),
        closing(SqliteStore(settings.data_dir / DATABASE)) as store,
    ):
        yield Place(store, {memory_name(*one): [PARTITION] for one in made_by})


def _changelog(settings: Settings, folder: Path) -> Changelog:
    kafka = settings.kafka
    servers = kafka.bootstrap_servers or []
    transactions = Transactions(
        servers, kafka.options, f"{kafka.group_id}.state", lambda: kafka.group_id
    )
    return Changelog(
        servers, kafka.options, kafka.group_id, kafka.memory_topic_of, transactions,
        folder / "idle", owned=False,
    )  # fmt: skip


def _check_nobody(settings: Settings) -> None:
    """Memories must not be put under the feet of those who have them."""
    kafka = settings.kafka
    if kafka.bootstrap_servers is not None and (
        count := members(kafka.bootstrap_servers, kafka.options, kafka.group_id)
    ):
        raise StateError(f"{count} workers are in the group {kafka.group_id}: stop them first")
