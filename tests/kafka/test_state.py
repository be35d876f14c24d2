"""`wakeful state` where memories are in Kafka."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from service.cli import main
from tests.faults.fleet import fleet
from tests.kafka.test_group import filled
from tests.kafka.topics import Names, made_topics


@pytest.fixture
def names(bootstrap_servers: str) -> Iterator[Names]:
    with made_topics(bootstrap_servers, f"g{uuid.uuid4().hex[:10]}", 2) as made:
        filled(made)
        yield made


def run(names: Names, *arguments: object, **environment: str) -> str:
    runner = CliRunner(env={**names.environment(), **environment})
    return runner.invoke(main, ["state", *map(str, arguments)]).output


def test_memories_of_a_group_are_moved_to_another(names: Names, tmp_path: Path) -> None:
    """Not under the feet of who has them."""
    file, other = tmp_path / "memories", {"WAKEFUL_KAFKA__GROUP_ID": f"{names.events}-2"}
    with fleet(names, tmp_path, [0]) as workers:
        workers.wait_scored()
        assert "1 workers are in the group" in run(names, "import", __file__)
        workers.stop_all()
    assert "42 memories in" in run(names, "export", file)
    assert "42 memories, the same bits" in run(names, "verify", file)
    assert "only in one of them" in run(names, "verify", file, **other)
    assert "42 memories from" in run(names, "import", file, **other)
    assert "42 memories, the same bits" in run(names, "verify", file, **other)
