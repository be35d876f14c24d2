"""Whether a topic is the one that was read: one that is made again has the same name, and offsets
that begin anew."""

from typing import Any
from uuid import UUID

from service.errors import StateError
from service.records import Partition, RawBatch

NOBODY = UUID(int=0)  # of a topic that is not there, or that older brokers tell no id of


class Identity:
    """Of the topics that one consumer reads."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}
        self._next: dict[Partition, int] = {}

    def of(self, cluster: Any, topic: str) -> str | None:
        """The id that it was first heard to have: what is read counts as that one's, whatever is
        heard later. None where none was heard. From any thread."""
        heard = id_of(cluster, topic)
        return self._ids.get(topic) if heard is None else self._ids.setdefault(topic, heard)

    def look(self, cluster: Any) -> None:
        """StateError where one is not the one any more that it was at first, as last heard."""
        for topic, known in list(self._ids.items()):
            if id_of(cluster, topic) not in (None, known):
                raise made_again(topic, "has another id than it had")

    def begin(self, partition: Partition, position: int) -> None:
        """It is read from there."""
        self._next[partition] = position

    def follow(self, batches: list[RawBatch]) -> list[RawBatch]:
        """The same; StateError where one is behind what was read. Its events would be taken for
        those that memories know."""
        for raw in batches:
            known = self._next.get(raw.partition, 0)
            if len(raw) and raw.offsets[0] < known:
                where = f"{raw.partition[0]}-{raw.partition[1]}"
                raise made_again(where, f"goes on at {raw.offsets[0]}, it was read up to {known}")
            self._next[raw.partition] = raw.next_offset
        return batches


def id_of(cluster: Any, topic: str) -> str | None:
    """As last heard; None where it is not known."""
    found = cluster.topic_id(topic)
    return None if found in (None, NOBODY) else str(found)


def made_again(where: str, why: str) -> StateError:
    """For what is read no longer as what it was."""
    return StateError(
        f"{where} {why}: the topic was made again, or its leader lost records; set kafka.group_id, "
        "data_dir and, where it is set, history.url to others: memories are made anew from what is "
        "retained, and a history that has an event of the same offset would keep none of it"
    )
