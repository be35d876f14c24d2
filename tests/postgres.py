"""A throwaway PostgreSQL from the machine's own package, on loopback."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.bench.broker import free_port

HOW_TO_POSTGRES = "install PostgreSQL's server (Debian: postgresql)"
USER = "postgres"


def programs() -> Path | None:
    """Where `initdb` and `pg_ctl` are."""
    found = shutil.which("initdb")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return Path(found).parent if found else installed[-1].parent if installed else None


@contextmanager
def running_postgres(bin_: Path, folder: Path) -> Iterator[str]:
    """The address of a database in a server that lives as long as the block."""
    port = free_port()
    owner = None
    if os.geteuid() == 0:  # it refuses to run as root
        owner = USER
        folder.mkdir(parents=True, exist_ok=True)
        shutil.chown(folder, USER)
        for parent in folder.parents[:4]:
            parent.chmod(parent.stat().st_mode | 0o011)
    data, log = folder / "data", folder / "log"

    def run(*command: object) -> None:
        subprocess.run(
            list(map(str, command)), check=True, capture_output=True, user=owner, cwd=folder
        )

    run(bin_ / "initdb", "-D", data, "-A", "trust", "-U", USER, "--no-sync")
    options = f"-h 127.0.0.1 -p {port} -k {folder} -F"
    run(bin_ / "pg_ctl", "-D", data, "-l", log, "-o", options, "-w", "start")
    try:
        yield f"postgresql://{USER}@127.0.0.1:{port}/postgres"
    finally:
        run(bin_ / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
