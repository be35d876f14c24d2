"""Who we are is what our certificate says; what is wrong with it is said."""

import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.errors import Unavailable
from service.kafka.rights import needed
from service.kafka.trouble import Trouble
from tests.kafka.secured import USER, Secured, least
from tests.kafka.test_secured import PARTITIONS, Watched, whole
from tests.kafka.topics import Names, made_topics


@pytest.fixture
def topics(secured: Secured) -> Iterator[Names]:
    name = f"t{uuid.uuid4().hex[:10]}"
    with made_topics(secured.broker.address, name, PARTITIONS) as names:
        yield names


def test_a_certificate_that_expired_is_said_and_with_a_new_one_the_whole_way_works(
    secured: Secured, topics: Names, tmp_path: Path
) -> None:
    """With least rights, granted to the certificate's name; the files are replaced as it runs."""
    secured.grant(least(topics))
    certificate, key = tmp_path / "our.crt", tmp_path / "our.key"
    shutil.copy(secured.folder / "expired.crt", certificate)
    shutil.copy(secured.folder / "expired.key", key)
    options = {
        **secured.certified(),
        "ssl.certificate.location": str(certificate),
        "ssl.key.location": str(key),
    }
    with Watched(secured.mutual, topics, tmp_path / "data", **options) as watched:
        watched.wait_told("does not take our certificate", "openssl x509 -noout -dates")
        shutil.copy(secured.folder / f"{USER}.crt", certificate)
        shutil.copy(secured.folder / f"{USER}.key", key)
        watched.feed()
        watched.wait_done()
        anomalies = watched.process.pages("/api/v1/anomalies")
    told = whole(secured, topics)
    assert told[topics.anomalies] == len(anomalies) > 0
    assert told[topics.dead_letters] == 1


def _without(secured: Secured) -> dict[str, Any]:
    ours = ("ssl.certificate.location", "ssl.key.location")
    return {name: value for name, value in secured.certified().items() if name not in ours}


TRIES = 20
WRONG: dict[str, Callable[[Secured], dict[str, Any]]] = {
    "none": _without,
    "expired": lambda s: s.certified("expired"),
    "a stranger's": lambda s: s.certified("stranger"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_certificate_that_is_missing_or_not_taken_is_said(
    secured: Secured, topics: Names, wrong: str
) -> None:
    ours = needed([topics.events], [], [], topics.events, f"{topics.events}.x")
    for _ in range(TRIES):  # as the service does: the broker may hang up before its word is read
        with pytest.raises(Unavailable) as refused:
            Trouble([secured.mutual.address], WRONG[wrong](secured), ours).check()
        if "our certificate" in str(refused.value):
            break
    assert "does not take our certificate: [SSL" in str(refused.value)
