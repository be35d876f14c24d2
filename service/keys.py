"""API keys: who may do what. Only their hashes are kept, in a file that instances may share.

A key is `wakeful_<id>_<secret>`, of 256 random bits: a plain SHA-256 of it can be guessed no better
than the key itself, so that no slow hash is needed.
"""

import fcntl
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from service.clock import now
from service.errors import SettingsError

Role = Literal["viewer", "operator", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")
"""Each may do what the one before it may: look; say and send; keep order."""
PREFIX = "wakeful"
SECRET_BYTES = 32
LONGEST_CREDENTIAL = 512


class Key(BaseModel):
    """A key as it is kept.

    detector, prefix: of whose streams alone, and of which names; None and "" for all. made,
    expires: Unix seconds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    name: str
    role: Role
    detector: str | None = None
    prefix: str = ""
    made: float
    expires: float | None = None
    sha256: str

    def may(self, role: Role) -> bool:
        return ROLES.index(self.role) >= ROLES.index(role)

    def sees(self, detector: str, stream: str) -> bool:
        """Whether a stream is of its scope."""
        return self.detector in (None, detector) and stream.startswith(self.prefix)

    @property
    def scoped(self) -> bool:
        return self.detector is not None or self.prefix != ""


KEPT = TypeAdapter(list[Key])


class Keys:
    """The keys of a file, as it is now; a fixed token, where there is one, is an admin's key.

    required: whether one is asked for although there is none. Usable from any thread.
    """

    def __init__(self, file: Path, token: str | None = None, required: bool = False) -> None:
        self._file = file
        self._required = required
        self._token = None if token is None else token.encode()
        self._admin = Key(id="token", name="api.token", role="admin", made=0.0, sha256="")
        self._read: tuple[object, dict[str, Key]] = (None, {})

    @property
    def asked_for(self) -> bool:
        """Whether who has no key may do nothing: where there is one, was one, or must be. A file
        without any is left where the last one was revoked."""
        if not self._required:
            self._known()  # a file that cannot be read is said
            self._required = self._token is not None or self._file.exists()
        return self._required

    def find(self, credential: str) -> Key | None:
        """The key that somebody shows; None where it is none, revoked, or over."""
        given = credential.encode("utf-8", "surrogateescape")
        if self._token is not None and hmac.compare_digest(given, self._token):
            return self._admin
        parts = credential.split("_", 2)
        key = self._known().get(parts[1]) if len(parts) == 3 else None
        if key is None or not hmac.compare_digest(_hash(given), key.sha256):
            return None
        return None if key.expires is not None and key.expires <= now() else key

    def all(self) -> list[Key]:
        """Those of the file, the oldest first."""
        return list(self._known().values())

    def create(
        self, name: str, role: Role, detector: str | None, prefix: str, expires: float | None
    ) -> str:
        """A new key, which nobody can tell again."""
        with self._changing() as keys:
            identity = secrets.token_hex(4)
            made = f"{PREFIX}_{identity}_{secrets.token_urlsafe(SECRET_BYTES)}"
            keys[identity] = Key(
                id=identity, name=name, role=role, detector=detector, prefix=prefix, made=now(),
                expires=expires, sha256=_hash(made.encode()),
            )  # fmt: skip
        return made

    def revoke(self, identity: str) -> Key | None:
        """The key that counts no more; None where there is none of this id."""
        if identity not in self._known():
            return None
        with self._changing() as keys:
            return keys.pop(identity, None)

    def _known(self) -> dict[str, Key]:
        try:
            found = self._file.stat()
        except FileNotFoundError:
            return {}
        version = found.st_mtime_ns, found.st_size, found.st_ino
        if self._read[0] != version:
            self._read = version, _parsed(self._file)
        return self._read[1]

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Key]]:
        """The keys, to be changed by one at a time; written whole, or not at all."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = _parsed(self._file) if self._file.exists() else {}
            yield keys
            new = self._file.with_suffix(".new")
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
                out.write(KEPT.dump_json(list(keys.values()), indent=2) + b"\n")
                out.flush()
                os.fsync(out.fileno())
            if os.geteuid() == 0:  # the service is somebody else, and must be able to read it
                beside = self._file if self._file.exists() else self._file.parent
                os.chown(new, beside.stat().st_uid, beside.stat().st_gid)
            new.replace(self._file)


def _hash(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()


def _parsed(file: Path) -> dict[str, Key]:
    try:
        return {key.id: key for key in KEPT.validate_json(file.read_bytes())}
    except (OSError, ValidationError) as error:
        raise SettingsError(f"api.keys_file: {file} cannot be read: {error}") from None
