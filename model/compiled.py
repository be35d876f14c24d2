"""Compiled loops over events.

The normaliser and the scoring layer visit events one by one, in arrival order, in compiled code.
Each event runs the same scalar instructions whatever else shares its batch, so a score cannot
depend on how events were cut into batches. No fast-math: the order of operations stands.
"""

import fcntl
import hashlib
import importlib.util
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core.compiler_lock import global_compiler_lock

F = TypeVar("F", bound=Callable[..., Any])

numba_settings: Any = numba.config
log = logging.getLogger(__name__)
GIVEN: str = numba_settings.CACHE_DIR
HERE = Path(__file__).parent
OPTIONS: dict[str, Any] = {
    "cache": True,
    "fastmath": False,
    "nogil": True,
    # A division by zero is what IEEE 754 says: a branch for it keeps a loop from being vectorised.
    "error_model": "numpy",
    # Nothing is counted that refers to an array, which takes more time than the arithmetic does;
    # so nothing may be allocated, and no array returned: whoever calls from Python makes room.
    "_nrt": False,
}


def compiled(function: F) -> F:
    """Compile `function` with numba; the machine code is cached on disk between processes."""
    numba_settings.CACHE_DIR = _folder_of(function.__module__.partition(".")[0])
    return _once(_saved_if_it_can_be(numba.njit(**OPTIONS)(function)))


def inlined(function: F) -> F:
    """The same for what a loop calls for each byte or two, or what takes many arrays: its code
    stands where it is called, which costs time whenever it is compiled."""
    numba_settings.CACHE_DIR = _folder_of(function.__module__.partition(".")[0])
    return _once(_saved_if_it_can_be(numba.njit(**OPTIONS, inline="always")(function)))


def is_kept(function: Callable[..., Any]) -> bool:
    """Whether machine code of it is there from an earlier start."""
    return _index(function).exists()


def _saved_if_it_can_be(dispatcher: Any) -> Any:
    """Where there is no room for machine code on the disk, what is in memory does as well."""
    save = dispatcher._cache.save_overload

    def save_overload(signature: object, code: object) -> None:
        try:
            save(signature, code)
        except OSError as error:
            log.warning("what was compiled cannot be kept for the next start: %s", error)

    dispatcher._cache.save_overload = save_overload
    return dispatcher


def _once(dispatcher: Any) -> Any:
    """Of processes that start together one compiles, and the others wait for what it has saved."""
    compile_, index = dispatcher.compile, _index(dispatcher)

    def compile_alone(signature: object) -> Any:
        with global_compiler_lock, _alone(index):  # in this order, or two threads meet half-way
            return compile_(signature)

    dispatcher.compile = compile_alone
    return dispatcher


def _index(dispatcher: Any) -> Path:
    """Numba's list of what is saved of a function."""
    return Path(dispatcher._cache._cache_file._index_path)


@contextmanager
def _alone(index: Path) -> Iterator[None]:
    """Where no file can be made, each compiles. Whoever dies lets go."""
    with ExitStack() as stack:
        if not index.exists():
            with suppress(OSError):
                index.parent.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(index.with_suffix(".lock").open("w"))
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


@cache
def _folder_of(package: str) -> str:
    found = importlib.util.find_spec(package)
    return str(cache_folder(Path(found.origin).parent if found and found.origin else HERE))


def cache_folder(package: Path) -> Path:
    """Where machine code of exactly these sources is kept: the package's, and the model's.

    A compiled function holds constants and other functions of other modules, but numba compares
    its own module's file alone: after an upgrade it would go on with what it was compiled with.
    """
    sources = hashlib.sha256()
    for file in sorted({*HERE.glob("*.py"), *package.rglob("*.py")}):
        sources.update(file.name.encode() + file.read_bytes())
    own = HERE / "__pycache__"
    if GIVEN:
        base = Path(GIVEN)
    elif os.access(own if own.exists() else HERE, os.W_OK):
        base = own
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wakeful"
    return base / sources.hexdigest()[:16]
