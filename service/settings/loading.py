"""Reads the settings, at one border.

A file (YAML, TOML or JSON), then the environment (`WAKEFUL_SECTION__NAME`), then flags; the later
ones win. Parts of the service receive plain values, never this tree.
"""

import os
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_settings import SettingsError as SourceError

from service.errors import SettingsError
from service.settings.detector import RuleSettings
from service.settings.tree import MANY, Settings

FOREIGN = {"test_bootstrap_servers", "test_data"}  # WAKEFUL_ variables that are no settings


def load_settings(file: Path | None = None, flags: dict[str, Any] | None = None) -> Settings:
    """Read file, environment and flags; SettingsError lists each problem with its place."""
    if unknown := _unknown_variables():
        raise SettingsError("\n".join(unknown))
    body = read_file(file) if file else {}
    try:
        return Settings(file=body, flags=flags or {})  # type: ignore[call-arg]
    except ValidationError as error:
        raise SettingsError("\n".join(_in_words(problem) for problem in error.errors())) from None
    except SourceError as error:
        raise SettingsError(_not_json(error)) from None


def _in_words(problem: Any) -> str:
    """One of pydantic's problems as a place and what to do."""
    place = ".".join(map(str, problem["loc"])) or "settings"
    if problem["type"] != "extra_forbidden":
        return f"{place}: {problem['msg'].removeprefix('Value error, ')}"
    known = _names_at(problem["loc"][:-1])
    near = get_close_matches(str(problem["loc"][-1]), known, 1)
    return f"{place}: no such setting; " + (
        f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    )


def _names_at(place: tuple[Any, ...]) -> list[str]:
    """The names of the settings in a section, or of the sections."""
    section: Any = Settings
    if place and place[0] in MANY:
        section = RuleSettings if "rules" in place else MANY[place[0]]
    else:
        for name in place:
            section = section.model_fields[name].annotation
    return list(getattr(section, "model_fields", {}))


def _unknown_variables() -> list[str]:
    """Variables of the environment that start like settings and are none."""
    unknown = []
    for variable in sorted(os.environ):
        section, *_ = variable.removeprefix("WAKEFUL_").lower().split("__")
        if variable.startswith("WAKEFUL_") and section not in {*Settings.model_fields, *FOREIGN}:
            near = get_close_matches(section, Settings.model_fields, 1)
            hint = f"; did you mean WAKEFUL_{near[0].upper()}?" if near else ""
            unknown.append(f"{variable}: no such setting{hint}")
    return unknown


def _not_json(error: SourceError) -> str:
    """Name the environment variable whose text is not the JSON that it should be."""
    text = getattr(error.__cause__, "doc", None)
    named = [name for name, value in os.environ.items() if value == text]
    variables = [name for name in named if name.startswith("WAKEFUL_")]
    return (
        f"{', '.join(variables) or error}: is not JSON ({error.__cause__}); "
        """a list is written as '["a", "b"]', an object as '{"a": 1}'"""
    )


def read_file(file: Path) -> dict[str, Any]:
    """A YAML (JSON included) or TOML file as a tree."""
    try:
        text = file.read_text(encoding="utf-8")
        body = tomllib.loads(text) if file.suffix == ".toml" else yaml.safe_load(text)
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:  # its text quotes the file, which may hold a secret
        mark = getattr(error, "problem_mark", None)
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else str(file)
        what = getattr(error, "problem", None) or "is not YAML"
        raise SettingsError(f"{where}: {what}") from None
    except (tomllib.TOMLDecodeError, UnicodeError) as error:
        raise SettingsError(f"{file}: {error}") from None
    if body is None:
        return {}
    if not isinstance(body, dict):
        raise SettingsError(f"{file}: expected sections at the top, found {type(body).__name__}")
    return body
