"""Questions about streams whose memories another instance has."""

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import Request

from service.api.problems import RETRY_SECONDS, ProblemError
from service.bootstrap import Service
from service.telemetry.logging import log

FORWARDED = "wakeful-forwarded"  # a header; who sees it answers for itself alone
ANSWER_SECONDS = 10.0


class Elsewhere:
    """Asks other instances of the group, where there is one, with the caller's own credentials."""

    def __init__(self, service: Service, seconds: float = ANSWER_SECONDS) -> None:
        self._service = service
        self._seconds = seconds
        self._tls = _known_by(service.settings.api.tls_ca_file)

    def find(
        self, request: Request, stream: str, body: bytes | None = None, **query: object
    ) -> dict[str, Any] | None:
        """What one of them says of a stream; None where each says that it has none. Blocks.

        ProblemError is what the one that has the stream refused, or 503 where nobody has it among
        those that could say.
        """
        unsure: ProblemError | None = None
        for _, answer in self._ask(request, stream, query, body):
            if isinstance(answer, dict):
                return answer
            if answer.status == 404:
                continue
            if answer.status < 500:
                raise answer
            unsure = unsure or answer
        if unsure is not None:
            raise ProblemError(503, unsure.detail, retry_seconds=unsure.retry_seconds)
        return None

    def pages(self, request: Request, **query: object) -> dict[str, dict[str, Any] | None]:
        """The same page of each of them, by address; None where there was no answer. Blocks."""
        answers = dict(self._ask(request, None, query))
        return {at: said if isinstance(said, dict) else None for at, said in answers.items()}

    def everywhere(
        self, request: Request, body: bytes | None = None
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """What those that did the same say, and the addresses of those that may not have done it.
        One that does not know what it is about (404) has nothing to do. Blocks."""
        answers = dict(self._ask(request, None, {}, body))
        done = [said for said in answers.values() if isinstance(said, dict)]
        failed = {at: said for at, said in answers.items() if isinstance(said, ProblemError)}
        return done, [at for at, said in failed.items() if said.status != 404]

    def _ask(
        self,
        request: Request,
        stream: str | None,
        query: dict[str, object],
        body: bytes | None = None,
    ) -> "Iterator[tuple[str, dict[str, Any] | ProblemError]]":
        """The same request at each other instance, the likeliest for a stream first."""
        owners = self._service.owners
        if owners is None or FORWARDED in request.headers:
            return
        asked = urlencode({name: value for name, value in query.items() if value is not None})
        for address in owners.addresses(stream):
            if address != self._service.address and address.startswith(("http://", "https://")):
                path = request.scope["raw_path"].decode("ascii")
                url = f"{address}{path}{'?' if asked else ''}{asked}"
                yield address, self._answer(request, url, body)

    def _answer(
        self, asked: Request, url: str, body: bytes | None
    ) -> dict[str, Any] | ProblemError:
        headers = {FORWARDED: "1"}
        if "content-type" in asked.headers:
            headers["content-type"] = asked.headers["content-type"]
        if (credential := asked.state.caller.credential) is not None:
            headers["authorization"] = f"Bearer {credential}".encode().decode("latin-1")
        request = urllib.request.Request(url, body, headers, method=asked.method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=self._seconds, context=self._tls) as reply:  # noqa: S310 # nosec B310
                answer: dict[str, Any] = json.load(reply)
                return answer
        except urllib.error.HTTPError as error:
            refused = ProblemError(error.code, _detail(error), retry_seconds=_later(error))
            if error.code != 404:
                log.warning("another instance refused", url=url, error=refused.detail)
            return refused
        except (OSError, ValueError) as error:
            log.warning("another instance did not answer", url=url, error=str(error))
            return ProblemError(503, f"another instance did not answer: {url}; try again")


@cache
def _known_by(file: Path | None) -> ssl.SSLContext:
    """How other instances show that they are ours, where they speak TLS."""
    return ssl.create_default_context(cafile=file)


def _later(error: urllib.error.HTTPError) -> int:
    """After how many seconds it may be asked again."""
    told = str(error.headers.get("Retry-After"))
    return int(told) if told.isdecimal() else RETRY_SECONDS


def _detail(error: urllib.error.HTTPError) -> str:
    """What a problem says."""
    with suppress(OSError, ValueError, AttributeError):
        return str(json.load(error).get("detail", error))
    return str(error)
