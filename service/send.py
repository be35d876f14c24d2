"""`wakeful send`: the rows of CSV files as events to a service that listens."""

import http
import json
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import msgspec
from tqdm import tqdm

from service.errors import SettingsError, WakefulError
from service.records import RawBatch
from service.settings.detector import DetectorSettings
from service.sources.file import KEY_FIELD, TIME_FIELD, FileSource
from service.sources.table import Asked, columns_of_detector, open_text, read_rows, sniff, stem

BATCH_ROWS = 1000
ANSWER_SECONDS = 60.0
MOST_DETAIL = 10_000  # bytes of an answer that refuses


@dataclass(frozen=True, slots=True)
class SendOptions:
    """Where to, and which columns are what."""

    address: str
    detector: str
    token: str | None
    columns: Asked
    categories: tuple[str, ...] = ()


@dataclass(slots=True)
class Sent:
    """What became of a file's rows."""

    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)  # by reason
    unused: tuple[str, ...] = ()  # columns that nothing was sent of


def send(files: Sequence[Path], settings: DetectorSettings, options: SendOptions) -> list[Sent]:
    """Send files in order, each from its first row to its last."""
    return [_send_file(file, settings, options) for file in files]


def _send_file(file: Path, settings: DetectorSettings, options: SendOptions) -> Sent:
    sent = Sent()
    bar: tqdm[NoReturn] = tqdm(desc=stem(file), unit=" rows", disable=None)
    with bar:
        for raw in _batches(file, settings, options, sent):
            lines = [_event(raw.value(i) or b"", settings) for i in range(len(raw))]
            reply = _post(options, b"\n".join(lines))
            sent.accepted += reply["accepted"]
            sent.rejected.update(one["reason"] for one in reply["rejected"])
            bar.update(len(raw))
    return sent


def _batches(
    file: Path, settings: DetectorSettings, options: SendOptions, sent: Sent
) -> Iterator[RawBatch]:
    with open_text(file) as text:
        first, rows = sniff(read_rows(file, text))
        asked = options.columns
        columns = columns_of_detector(file, first, asked, settings, options.categories)
        sent.unused = columns.unused(asked.ignore)
        if columns.time is None:
            raise SettingsError(f"{file}: no column says when; name one with --time")
        source = FileSource(file, columns, rows, BATCH_ROWS)
        while not source.finished:
            yield from source.poll(0.0)


def _event(record: bytes, settings: DetectorSettings) -> bytes:
    """A row's record, with its stream and its time under the names that the service reads."""
    body = msgspec.json.decode(record)
    body[settings.key], body[settings.times()[0]] = body.pop(KEY_FIELD), body.pop(TIME_FIELD)
    return msgspec.json.encode(body)


def _post(options: SendOptions, body: bytes) -> dict[str, Any]:
    headers = {"content-type": "application/x-ndjson"}
    if options.token is not None:
        headers["authorization"] = f"Bearer {options.token}"
    url = f"{options.address}/api/v1/events?detector={options.detector}"
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - as the user says
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as reply:  # noqa: S310 # nosec B310
            answer: dict[str, Any] = json.load(reply)
            return answer
    except urllib.error.HTTPError as error:
        detail = _detail(error.read(MOST_DETAIL))
        if error.code == http.HTTPStatus.UNAUTHORIZED:
            detail += "; give an operator's key as WAKEFUL_API__TOKEN in the environment"
        raise WakefulError(f"{url}: {error.code}: {detail}") from None
    except (OSError, ValueError) as error:
        raise WakefulError(f"{url}: {error}; is `wakeful serve` running there?") from None


def _detail(body: bytes) -> str:
    """What a problem says; the whole answer where it is none."""
    try:
        return str(msgspec.json.decode(body)["detail"])
    except (msgspec.DecodeError, UnicodeDecodeError, LookupError, TypeError):
        return body.decode(errors="replace")
