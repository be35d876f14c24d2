"""Tokens for OAUTHBEARER: from a file that somebody renews, or from a token endpoint."""

import json
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import Request, url2pathname, urlopen

from kafka.errors import SaslAuthenticationFailedError
from kafka.net.sasl.oauth import AbstractTokenProvider

ANSWER_SECONDS = 5.0  # the client's heartbeats wait as long
ANSWER_BYTES = 2**20
USED = 0.8  # of a token's life, after which there is another
LIFE_SECONDS = 300.0  # where the endpoint does not say


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are for a token endpoint; `secret` is asked for whenever a token is."""

    client_id: str | None
    secret: Callable[[], str]
    scope: str | None


class Tokens(AbstractTokenProvider):  # type: ignore[misc]
    """Gives the token that counts now. `url`: `file:` of a file that holds it, or the endpoint of
    OAuth's client credentials. Raises where there is none, without a secret in the words."""

    def __init__(self, url: str, credentials: Credentials) -> None:
        super().__init__()
        self._url, self._credentials = url, credentials
        self._lock = threading.Lock()
        self._token, self._until = "", 0.0

    def token(self) -> str:
        parts = urlsplit(self._url)
        if parts.scheme == "file":
            return Path(url2pathname(parts.path)).read_text(encoding="utf-8").strip()
        with self._lock:
            if time.monotonic() >= self._until:
                self._fetch()
            return self._token

    def _fetch(self) -> None:
        asked = time.monotonic()
        try:
            with urlopen(self._request(), timeout=ANSWER_SECONDS) as reply:  # noqa: S310 # nosec B310
                body = json.loads(reply.read(ANSWER_BYTES))
            self._token = str(body["access_token"])
            self._until = asked + USED * float(body.get("expires_in", LIFE_SECONDS))
        except HTTPError as error:
            error.close()
            raise SaslAuthenticationFailedError(
                f"{self._url} gives no token: {error.code} {error.reason}; is the client's secret "
                "right?"
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SaslAuthenticationFailedError(f"{self._url} gives no token: {error!r}") from None

    def _request(self) -> Request:
        who, scope = self._credentials, self._credentials.scope
        form = {"grant_type": "client_credentials", **({"scope": scope} if scope else {})}
        pair = f"{quote(who.client_id or '', safe='')}:{quote(who.secret(), safe='')}"
        headers = {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
        return Request(self._url, urlencode(form).encode(), headers)  # noqa: S310 # nosec B310
