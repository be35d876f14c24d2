"""The API keeps to its own description, whatever it is asked."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from service.api.app import create_app
from tests.service.parts import wave
from tests.service.test_api import NDJSON, running

SHORT, LONG = 6, 100  # examples of each operation, and as many that are not as described
ENDLESS = "/api/v1/live"  # it goes on until somebody leaves; tested in `test_api`
LOCAL = {"host": "127.0.0.1"}

checks = schemathesis.checks
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]


@schemathesis.serializer("application/x-ndjson")
def lines_of(_context: Any, value: Any) -> bytes:
    return b"\n".join(msgspec.json.encode(one) for one in [value, value])


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_answer_is_as_described(
    tmp_path: Path, request: pytest.FixtureRequest, mode: GenerationMode
) -> None:
    examples = LONG if request.config.getoption("--long") else SHORT
    for service, client in running(tmp_path):
        lines = wave(400, "s", spikes=[350])
        client.post("/api/v1/events?scores=true", content=b"\n".join(lines), headers=NDJSON)
        client.post("/api/v1/events", content=b"{]")
        schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(service))
        asked = 0
        for operation in schema.exclude(path=ENDLESS).get_all_operations():
            asked += 1

            @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
            @given(case=operation.ok().as_strategy(generation_mode=mode))  # type: ignore[union-attr]
            def answers(case: Any) -> None:
                case.call_and_validate(checks=CHECKS, headers=LOCAL)

            with suppress(Unsatisfiable):  # what asks for nothing can be asked in one way alone
                answers()
        assert (
            asked == sum(len(operations) for operations in schema.raw_schema["paths"].values()) - 1
        )
