"""What the sections of the settings share."""

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def secret_of(name: str, file: Path | None, given: SecretStr | None) -> str | None:
    """What a file holds, or what was given."""
    if file is None:
        return given.get_secret_value() if given else None
    try:
        text = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error}") from None
    if not text:
        raise ValueError(f"{name} {file} is empty")
    return text


def is_address(text: str) -> bool:
    """Whether it is one of HTTP."""
    try:
        parts = urlsplit(text)
        plain = text.isascii() and parts.scheme in ("http", "https")
        return plain and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of a port that is none
        return False
