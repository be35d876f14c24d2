"""A certificate that nobody knows, unless told to."""

import subprocess
from pathlib import Path
from typing import NamedTuple


class SelfSigned(NamedTuple):
    """PEM files: with its key, for a server, and alone, for who is to trust it."""

    whole: Path
    authority: Path


def self_signed(folder: Path) -> SelfSigned:
    """Of 127.0.0.1."""
    made = SelfSigned(folder / "both.pem", folder / "ca.pem")
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
            "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(made.whole),
            "-out", str(made.authority),
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    made.whole.write_text(made.whole.read_text() + made.authority.read_text())
    return made
