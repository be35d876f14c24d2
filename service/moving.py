"""What happens to memories when a consumer group moves partitions."""

from collections.abc import Iterable, Mapping

from service.assignment import Assignment
from service.pipeline import Pipeline
from service.records import Partition


class Moving:
    """Keeps a pipeline's memories in step with what its source is given; see `Keeper`."""

    def __init__(self, pipeline: Pipeline, assignment: Assignment) -> None:
        self._pipeline = pipeline
        self._assignment = assignment

    def take(self, partitions: Iterable[Partition]) -> None:
        self._assignment.take(partitions)

    def arrived(self) -> Mapping[Partition, int | None]:
        return self._assignment.arrived()

    def begin(self, partition: Partition, position: int) -> None:
        self._pipeline.begin(partition, position)

    def give(self, partitions: Iterable[Partition]) -> None:
        given = list(partitions)
        try:
            self._pipeline.checkpoint()
        finally:
            self.forget(given)

    def forget(self, partitions: Iterable[Partition]) -> None:
        gone = list(partitions)
        self._assignment.forget(gone)
        self._pipeline.leave(gone)
