"""Who may do what: every route asks here, by its role and by the streams that it is about."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from service.api.problems import ProblemError
from service.api.questions import find_detector
from service.bootstrap import Service
from service.keys import Key, Role
from service.settings.api import LOOPBACK

COOKIE = "wakeful_key"
LOCAL = Key(id="local", name="without a key, on this machine", role="admin", made=0.0, sha256="")
"""Whoever asks on loopback, where there are no keys."""
LOOKING = {"GET", "HEAD"}
OTHER_ROLES: dict[tuple[str, str], Role] = {
    ("POST", "/streams/{stream:path}/whatif"): "viewer",  # it changes nothing
    ("GET", "/audit"): "admin",
    ("POST", "/reload"): "admin",
}
"""Of routes that are not a viewer's where they look, and an operator's where they change."""
OF_ANY_STREAM = {("POST", "/events"), ("GET", "/dead-letters")}
"""Routes that a key for some names alone cannot use: what is sent, or was rejected, may be any."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the key, and as it was shown."""

    key: Key
    credential: str | None

    def sees(self, detector: str, stream: str) -> bool:
        return self.key.sees(detector, stream)

    def require(self, detector: str, stream: str) -> None:
        """ProblemError where the stream is not of the key's scope."""
        if not self.sees(detector, stream):
            raise ProblemError(403, f"the key is not for the stream {stream!r} of {detector}")

    def prefix(self, asked: str = "") -> str | None:
        """The names that a list is of, by how they begin; None where it sees none of those asked
        for."""
        if asked.startswith(self.key.prefix):
            return asked
        return self.key.prefix if self.key.prefix.startswith(asked) else None

    def detector(self, asked: str | None) -> str | None:
        """The detector that a list is of, as far as the key sees it; ProblemError where it asks
        for another one."""
        if self.key.detector is None or asked in (None, self.key.detector):
            return self.key.detector or asked
        raise ProblemError(403, f"the key is for the detector {self.key.detector} alone")


def caller_of(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


Asking = Annotated[Caller, Depends(caller_of)]


def guard(service: Service, prefix: str) -> Callable[[Request], None]:
    """What stands before every route of the API, whose paths begin with `prefix`."""

    def check(request: Request) -> None:
        caller = identify(service, request)
        request.state.caller = caller
        path: str = request.scope["route"].path.removeprefix(prefix)
        role = role_of(request.method, path)
        if not caller.key.may(role):
            raise ProblemError(
                403, f"this asks for the role {role}; the key's is {caller.key.role}"
            )
        if role == "admin" and caller.key.scoped:
            raise ProblemError(403, "this is of all streams, and the key is not")
        if caller.key.prefix and (request.method, path) in OF_ANY_STREAM:
            raise ProblemError(403, f"the key is for streams {caller.key.prefix}… alone")
        stream = request.path_params.get("stream")
        if stream is not None and caller.key.scoped:
            asked = find_detector(service, request.query_params.get("detector")).name
            caller.require(asked, stream)

    return check


def role_of(method: str, path: str) -> Role:
    """The least role that a route asks for."""
    return OTHER_ROLES.get((method, path), "viewer" if method in LOOKING else "operator")


def identify(service: Service, request: Request) -> Caller:
    """Whoever asks; ProblemError where nobody may be let in."""
    keys = service.keys
    if not keys.asked_for:  # then only loopback is served, and no other site's page may use it
        if request.url.hostname not in LOOPBACK or is_foreign(request):
            raise ProblemError(403, f"not from another site, nor as {request.url.hostname!r}")
        return Caller(LOCAL, None)
    scheme, _, shown = _authorization(request).partition(" ")
    credential = shown.strip() if scheme.lower() == "bearer" else None
    if credential is None:
        credential = request.cookies.get(COOKIE)
        if credential is not None and request.method not in LOOKING and not _is_same_site(request):
            raise ProblemError(403, "a session is for this service's own page alone")
    key = None if credential is None else keys.find(credential)
    if key is None:
        raise ProblemError(
            401, "the API asks for a key, as a bearer token: `wakeful keys create` makes one"
        )
    return Caller(key, credential)


def _authorization(request: Request) -> str:
    """The header, whose bytes are UTF-8."""
    given = request.headers.get("authorization", "").encode("latin-1")
    return given.decode("utf-8", "surrogateescape")


def is_foreign(request: Request) -> bool:
    """Whether a browser says that another site's page asks."""
    origin = request.headers.get("origin")
    other = origin is not None and origin.partition("://")[2] != request.headers.get("host", "")
    return other or request.headers.get("sec-fetch-site") in {"cross-site", "same-site"}


def _is_same_site(request: Request) -> bool:
    """Whether a browser says that our own page asks; one that says nothing is not believed."""
    told = "origin" in request.headers or "sec-fetch-site" in request.headers
    return told and not is_foreign(request)
