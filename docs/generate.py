"""Write the tables that are made from the code: `make docs`; `--check` only compares."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client import Metric
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from docs.asyncapi import asyncapi
from service.records import REASONS
from service.settings.tree import MANY, Settings
from service.telemetry.metrics import Metrics

DOCS = Path(__file__).parent
CHART_SCHEMA = DOCS.parent / "deploy" / "helm" / "wakeful" / "values.schema.json"
SET_BY_THE_CHART = {
    "Settings": ["data_dir"],
    "ApiSettings": [
        "host", "port", "advertise", "token", "token_file", "tls_cert_file", "tls_key_file",
    ],
    "HistorySettings": ["url", "url_file"],
    "SchemaRegistrySettings": ["password"],
    "NotifySettings": ["secret"],
}  # fmt: skip
NO_OPTIONS_OF_THE_CHART = r"(password|secret)$|^group.instance.id$"
HEADERS = {
    "settings": "# Settings\n\nA file (`--config`, YAML, TOML or JSON), then the environment, then "
    "flags; the later ones win. In the environment a value that is a list or an object is written "
    "as JSON. `wakeful validate` checks a configuration without starting.\n",
    "metrics": "# Metrics\n\nAt `/metrics`, for Prometheus. No label ever holds a stream's name. "
    "On Linux there is also what the process itself uses, by Prometheus's own names "
    "(`process_…`). Alert rules, with a [runbook](runbooks/) for each, and a dashboard are in "
    "[deploy/](../deploy/).\n",
    "reasons": "# Why a record is rejected\n\nEach reason is counted in "
    "`wakeful_events_rejected_total` and kept with the record's context in the dead letters: "
    "`/api/v1/dead-letters`, and in Kafka mode their topic. The stream goes on with the next "
    "record.\n",
}


def settings_table() -> str:
    rows = ["| setting | environment | default | what it does |", "|---|---|---|---|"]
    rows += [f"| {' | '.join(row)} |" for row in _settings(Settings, "", "WAKEFUL_")]
    return "\n".join(rows) + "\n"


def _settings(section: type[BaseModel], path: str, variable: str) -> Iterator[tuple[str, ...]]:
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _settings(kind, f"{path}{name}.", f"{variable}{name.upper()}__")
        elif not path and name in MANY:
            default = "one, `default`" if field.default else "none"
            yield (f"`{name}`", "", default, field.description or "")
            yield from _settings(MANY[name], f"{name}.NAME.", f"{variable}{name.upper()}__NAME__")
        else:
            default = _default(field.default)
            text = (field.description or "").replace("|", "\\|")
            yield (f"`{path}{name}`", f"`{variable}{name.upper()}`", default, text)


def _default(value: Any) -> str:
    if value is None or value is PydanticUndefined:
        return "not set"
    return f"`{value}`"


def metrics_table() -> str:
    rows = ["| metric | kind | labels | what it says |", "|---|---|---|---|"]
    metrics = Metrics()
    for collector in vars(metrics).values():
        for metric in collector.describe() if hasattr(collector, "describe") else ():
            labels = ", ".join(getattr(collector, "_labelnames", ()))
            rows.append(
                f"| `{_full(metric)}` | {metric.type} | {labels} | {metric.documentation} |"
            )
    return "\n".join(rows) + "\n"


def _full(metric: Metric) -> str:
    return metric.name + ("_total" if metric.type == "counter" else "")


def reasons_table() -> str:
    rows = ["| reason | what it means |", "|---|---|"]
    rows += [f"| `{reason}` | {text} |" for reason, text in REASONS.items()]
    return "\n".join(rows) + "\n"


def pages() -> dict[Path, str]:
    """Every generated page and its text."""
    tables = {"settings": settings_table, "metrics": metrics_table, "reasons": reasons_table}
    made = {DOCS / f"{name}.md": HEADERS[name] + "\n" + make() for name, make in tables.items()}
    return {
        CHART_SCHEMA: chart_schema(),
        DOCS / "asyncapi.json": asyncapi(),
        **made,
    }


def chart_schema() -> str:
    """The schema of the chart's values, with the settings that are the user's to set."""
    schema = json.loads(CHART_SCHEMA.read_text(encoding="utf-8"))
    settings = Settings.model_json_schema()
    sections = {"Settings": settings, **settings.pop("$defs")}
    for name, ours in SET_BY_THE_CHART.items():
        for field in ours:
            del sections[name]["properties"][field]
    options = sections["KafkaSettings"]["properties"]["options"]
    options["propertyNames"] = {"not": {"pattern": NO_OPTIONS_OF_THE_CHART}}
    schema["$defs"] = _terse(sections, names=True)
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _terse(tree: Any, names: bool = False) -> Any:
    """Without pydantic's titles, and the defaults, which the service knows; `names` are no
    keywords."""
    if isinstance(tree, list):
        return [_terse(one) for one in tree]
    if not isinstance(tree, dict):
        return tree
    kept = [key for key in tree if names or key not in {"title", "default"}]
    return {key: _terse(tree[key], key == "properties") for key in kept}


def main() -> None:
    stale = [
        page
        for page, text in pages().items()
        if not page.exists() or page.read_text(encoding="utf-8") != text
    ]
    if "--check" in sys.argv:
        sys.exit(f"run `make docs`: {', '.join(map(str, stale))}" if stale else 0)
    for page in stale:
        page.write_text(pages()[page], encoding="utf-8")


if __name__ == "__main__":
    main()
