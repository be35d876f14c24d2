"""The deployment's files against the code: what they name, the code has."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel

from service.api.app import create_app
from service.bootstrap import build_service
from service.cli import main
from service.records import REASONS, severity_of
from service.settings.api import ApiSettings
from service.settings.kafka import KafkaSettings
from service.settings.loading import load_settings
from service.settings.tree import Settings
from service.telemetry.metrics import STAGES, Metrics

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
ALERTS_FILE = DEPLOY / "prometheus" / "alerts.yml"


def read_yaml(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


COMPOSE = read_yaml(ROOT / "docker-compose.yml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
PROMETHEUS = read_yaml(DEPLOY / "prometheus" / "prometheus.yml")
EVERY_RULE: list[dict[str, Any]] = [
    rule for group in read_yaml(ALERTS_FILE)["groups"] for rule in group["rules"]
]
RULES = [rule for rule in EVERY_RULE if "alert" in rule]
RECORDED = {rule["record"]: rule["expr"] for rule in EVERY_RULE if "record" in rule}
RULE_TESTS = sorted((DEPLOY / "prometheus" / "tests").glob("*.yml"))
RUNBOOKS = ROOT / "docs" / "runbooks"
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "wakeful.json").read_text("utf-8"))
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
PROVISIONING = DEPLOY / "grafana" / "provisioning"

PORT = ApiSettings.model_fields["port"].default
KAFKA = KafkaSettings()
TARGET_LABELS = {"instance", "job"}
SUFFIXES = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_count", "_sum"]}
PROCESS = {  # prometheus_client's own; it has them on Linux alone
    "process_cpu_seconds_total", "process_max_fds", "process_open_fds",
    "process_resident_memory_bytes", "process_start_time_seconds", "process_virtual_memory_bytes",
}  # fmt: skip
LEFT_OUT = {
    "wakeful_records_total": "what became of them is shown: scored, rejected or replayed",
    "wakeful_stage_seconds_count": "batches in a second say little; their times are shown",
    "wakeful_records_deleted_unread_total": "WakefulRecordsDeletedUnread tells of the first",
    "process_start_time_seconds": "WakefulRestarting tells of starts that come too often",
    "process_virtual_memory_bytes": "address space that nobody uses",
}
"""Metrics that the dashboard does not show, and why not."""


def known_metrics() -> dict[str, set[str]]:
    """Every name that a query may use, with its labels."""
    known = {name: set(TARGET_LABELS) for name in {"up", *PROCESS}}
    known |= {name: {name.split(":")[0]} for name in RECORDED}
    for collector in vars(Metrics()).values():
        if isinstance(collector, MetricWrapperBase):
            (family,) = collector.describe()
            for suffix in SUFFIXES[family.type]:
                labels = {*collector._labelnames, *TARGET_LABELS}
                known[family.name + suffix] = labels | ({"le"} if suffix == "_bucket" else set())
    return known


def queries() -> list[tuple[str, str, str]]:
    """(where, expression, legend) of every rule and panel."""
    rules = [(rule.get("alert") or rule["record"], rule["expr"], "") for rule in EVERY_RULE]
    return rules + [
        (panel["title"], target["expr"], target["legendFormat"])
        for panel in PANELS
        for target in panel.get("targets", [])
    ]


def grouped_by(expression: str) -> set[str]:
    """The labels that aggregations and joins name."""
    lists = re.findall(r"\b(?:by|on|without|ignoring) \(([^)]*)\)", expression)
    return {label.strip() for labels in lists for label in labels.split(",")}


def matchers(expression: str) -> list[tuple[str, str]]:
    """(label, value) of every selector."""
    return re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"', expression)


def metrics_in(expression: str) -> set[str]:
    """The metrics that a query reads, recorded ones among them."""
    names = r"(?<![\w:])(?:\w+:wakeful_\w+:\w+|wakeful_\w+|process_\w+|up)\b"
    return set(re.findall(names, re.sub(r'"[^"]*"', '""', expression)))


QUERIES = queries()
KNOWN = known_metrics()


@pytest.mark.parametrize(("where", "expression", "legend"), QUERIES)
def test_a_query_uses_only_metrics_and_labels_that_the_service_has(
    where: str, expression: str, legend: str
) -> None:
    """A renamed metric or label would leave a panel empty and an alert silent."""
    if "ALERTS{" in expression:  # Prometheus's own
        return
    names = metrics_in(expression)
    assert names
    assert names <= KNOWN.keys()
    labels = set().union(*(KNOWN[name] for name in names))
    grouped = grouped_by(expression)
    assert grouped <= labels
    assert {label for label, _ in matchers(expression)} <= labels
    # An aggregation drops every label that it does not name.
    assert set(re.findall(r"{{(\w+)}}", legend)) <= (grouped or labels)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_happened_what_it_means_and_what_to_do(rule: dict[str, Any]) -> None:
    """Whoever is woken reads these annotations, with labels that are there, and the runbook."""
    assert rule["annotations"].keys() == {"summary", "description", "runbook", "runbook_url"}
    page = ROOT / rule["annotations"]["runbook_url"]
    assert page == RUNBOOKS / f"{rule['alert']}.md"
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert headings == [rule["alert"], "What it means", "What to look at", "What to do"]
    labels = set().union(*(KNOWN[name] for name in metrics_in(rule["expr"])))
    kept = grouped_by(rule["expr"]) or labels
    used = re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values()))
    assert set(used) <= kept | ({"instance"} if " and on " in rule["expr"] else set())
    assert rule["labels"]["severity"] in {"warning", "critical"}


def test_each_runbook_is_of_an_alert_and_names_what_is_there() -> None:
    """Of a metric, a reason or a setting that is gone nobody can look at anything."""
    pages = {page.stem: page.read_text(encoding="utf-8") for page in RUNBOOKS.glob("*.md")}
    assert pages.keys() == {rule["alert"] for rule in RULES}
    code = set(re.findall(r"`([^`\n]+)`", "\n".join(pages.values())))
    assert {name for name in code if name.startswith("wakeful_")} <= KNOWN.keys()
    settings = {name for name in code if re.fullmatch(r"(api|kafka|log|history|limits)\.\w+", name)}
    assert len(settings) > 5
    assert [name for name in settings if not is_setting(name.replace(".", "__"))] == []
    rejected = pages["WakefulRejectedShareHigh"].split("## What to do")[1]
    assert set(re.findall(r"`(\w+)`", rejected)) >= REASONS.keys()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_alert_has_a_test_in_which_it_fires_and_then_clears(rule: dict[str, Any]) -> None:
    """An alert that never clears is not looked at for long."""
    tests = [test for file in RULE_TESTS for test in read_yaml(file)["tests"]]
    steps = [
        [
            f'alertname="{rule["alert"]}"' in str(asked.get("exp_samples"))
            for asked in test["promql_expr_test"]
            if asked["expr"].startswith("ALERTS{")
        ]
        for test in tests
    ]
    assert [False, True, False] in [fires[-3:] for fires in steps]


def test_every_metric_is_on_the_dashboard_or_left_out_for_a_reason() -> None:
    """What is counted and nowhere shown is not missed when it breaks."""
    shown = set().union(
        *(
            metrics_in(RECORDED.get(name, name))
            for panel in PANELS
            for target in panel.get("targets", [])
            for name in metrics_in(target["expr"])
        )
    )
    assert shown.isdisjoint(LEFT_OUT)
    assert shown | LEFT_OUT.keys() == KNOWN.keys() - RECORDED.keys() - {"up"}


def test_no_panel_covers_another() -> None:
    """Grafana would move it, and the page would look otherwise than it was laid out."""
    places = [
        (x, y)
        for at in (panel["gridPos"] for panel in PANELS)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(places) == len(set(places))
    assert {x for x, _ in places} == set(range(24))


def test_the_alerts_name_the_job_that_is_scraped() -> None:
    """`up{job=…}` of another job would never fire."""
    (job,) = PROMETHEUS["scrape_configs"]
    jobs = {value for rule in RULES for label, value in matchers(rule["expr"]) if label == "job"}
    assert jobs == {job["job_name"]}
    assert PROMETHEUS["rule_files"] == [ALERTS_FILE.name]
    fires = next(expr for where, expr, _ in QUERIES if where == "Alerts firing")
    pattern = dict(matchers(fires))["alertname"]
    assert all(re.fullmatch(pattern, rule["alert"]) for rule in RULES)


def test_the_rejections_stages_and_severities_that_are_named_exist() -> None:
    """A fixed colour or a runbook for a value that never comes would mislead."""
    severities = {severity_of(score / 10) for score in range(10, 50)}
    overrides = [
        override["matcher"]["options"]
        for panel in PANELS
        if panel["title"] == "Anomalous events, by severity"
        for override in panel["fieldConfig"]["overrides"]
    ]
    assert set(overrides) == severities
    values = [pair for _, expression, _ in QUERIES for pair in matchers(expression)]
    assert {value for label, value in values if label == "stage"} <= set(STAGES)
    assert {value for label, value in values if label == "reason"} <= REASONS.keys()
    lag = next(rule for rule in RULES if rule["alert"] == "WakefulLagGrowing")
    assert set(re.findall(r"`(\w+)`", lag["annotations"]["runbook"])) == set(STAGES)


def test_the_dashboard_reads_from_the_provisioned_data_source() -> None:
    """Another uid would make every panel say that its data source is not found."""
    (source,) = read_yaml(PROVISIONING / "datasources" / "prometheus.yml")["datasources"]
    panels = [panel for panel in PANELS if panel["type"] != "row"]
    used = [item["datasource"]["uid"] for panel in panels for item in (panel, *panel["targets"])]
    used += [variable["datasource"]["uid"] for variable in DASHBOARD["templating"]["list"]]
    assert set(used) == {source["uid"]}
    assert source["url"] == "http://prometheus:9090"
    assert source["jsonData"]["timeInterval"] == PROMETHEUS["global"]["scrape_interval"]
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)


def test_the_dashboards_variables_read_labels_that_exist() -> None:
    """Without values a variable hides every series."""
    for variable in DASHBOARD["templating"]["list"]:
        parts = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["definition"])
        assert parts
        assert parts[2] in KNOWN[parts[1]]


def is_setting(name: str) -> bool:
    """Whether an environment variable reaches a field of the settings tree."""
    section: type[BaseModel] = Settings
    *parents, last = name.removeprefix("WAKEFUL_").lower().split("__")
    for parent in parents:
        field = section.model_fields.get(parent)
        if field is None or not isinstance(field.annotation, type):
            return False
        section = field.annotation
    return last in section.model_fields


def environment_of(service: str) -> dict[str, str]:
    return SERVICES[service].get("environment", {})


def image_environment() -> dict[str, str]:
    (block,) = re.findall(r"^ENV ((?:.*\\\n)*.*)", DOCKERFILE, re.MULTILINE)
    return dict(re.findall(r"(\w+)=(\S+)", block))


def test_every_variable_of_the_deployment_is_a_setting() -> None:
    """A misspelt variable would be ignored without a word."""
    named = set(re.findall(r"WAKEFUL_\w+", DOCKERFILE))
    named |= {name for service in SERVICES for name in environment_of(service)}
    ours = {name for name in named if name.startswith("WAKEFUL_")}
    assert "WAKEFUL_KAFKA__BOOTSTRAP_SERVERS" in ours
    assert [name for name in sorted(ours) if not is_setting(name)] == []
    assert not is_setting("WAKEFUL_KAFKA__BOOTSTRAP_SERVER")


def test_the_composed_service_has_valid_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The image's environment with the compose file's is what `wakeful serve` starts with."""
    for name in [name for name in os.environ if name.startswith("WAKEFUL_")]:
        monkeypatch.delenv(name)
    environment = image_environment() | environment_of("wakeful")
    token = tmp_path / "api_token"
    token.write_text("a token\n", encoding="utf-8")
    environment["WAKEFUL_API__TOKEN_FILE"] = str(token)
    for name, value in environment.items():
        if name.startswith("WAKEFUL_"):
            monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.api.host == "0.0.0.0"  # noqa: S104 - within the container
    assert settings.kafka.bootstrap_servers == ["kafka:19092"]
    assert settings.kafka.topics == KAFKA.topics
    assert str(settings.data_dir) == "/data"


def test_no_secret_stands_in_the_compose_file() -> None:
    """The token is made where it is used, and read from a file on the data's volume."""
    assert not any("WAKEFUL_API__TOKEN" in environment_of(service) for service in SERVICES)
    token_file = environment_of("wakeful")["WAKEFUL_API__TOKEN_FILE"]
    (made,) = SERVICES["api-token"]["command"]
    assert made.count(token_file) == 2
    assert token_file.startswith(image_environment()["WAKEFUL_DATA_DIR"] + "/")
    assert SERVICES["api-token"]["volumes"] == SERVICES["wakeful"]["volumes"] == ["wakeful:/data"]


def instruction(name: str) -> str:
    """The last such instruction of the Dockerfile, its lines joined."""
    text = DOCKERFILE.replace("\\\n", " ")
    return re.findall(rf"^{name} (.*)$", text, re.MULTILINE)[-1].strip()


def test_every_command_of_the_deployment_is_one_that_wakeful_has() -> None:
    """The image's own, the compose file's, those that build the image, and those in runbooks."""
    assert json.loads(instruction("ENTRYPOINT")) == ["wakeful"]
    command, *options = json.loads(instruction("CMD"))
    prose = " ".join(text for rule in RULES for text in rule["annotations"].values())
    named = {command, SERVICES["wakeful"]["command"][0]}
    named |= set(re.findall(r"^RUN wakeful (\w+)", DOCKERFILE, re.MULTILINE))
    named |= set(re.findall(r"`wakeful (\w+)", prose))
    assert {"serve", "replay", "validate"} <= named
    assert named <= main.commands.keys()
    known = {option for parameter in main.commands[command].params for option in parameter.opts}
    assert {option for option in options if option.startswith("-")} <= known
    with main.commands[command].make_context(command, options) as context:
        assert isinstance(context, click.Context)


def test_every_module_and_file_that_the_deployment_runs_on_exists() -> None:
    """The producer's module, the warm-up's data, and what the compose file mounts."""
    assert SERVICES["producer"]["entrypoint"][:2] == ["python", "-m"]
    assert importlib.util.find_spec(SERVICES["producer"]["entrypoint"][2])
    for packaged in re.findall(r"site-packages/(\S+)", DOCKERFILE):
        assert (ROOT / packaged).is_file()
    volumes = [volume for service in SERVICES.values() for volume in service.get("volumes", [])]
    for source in (volume.split(":")[0] for volume in volumes):
        assert (ROOT / source).is_dir() if source.startswith(".") else source in COMPOSE["volumes"]
    assert (ROOT / SERVICES["wakeful"]["build"]["dockerfile"]).is_file()


def test_grafana_finds_what_is_mounted() -> None:
    """Provisioning, the provider's folder and the home page are the mounted folders."""
    mounted = dict(volume.split(":")[:2] for volume in SERVICES["grafana"]["volumes"])
    (provider,) = read_yaml(PROVISIONING / "dashboards" / "wakeful.yml")["providers"]
    assert mounted["./deploy/grafana/dashboards"] == provider["options"]["path"]
    home = environment_of("grafana")["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == provider["options"]["path"] + "/wakeful.json"
    for kind in ("datasources", "dashboards"):
        source = f"./deploy/grafana/provisioning/{kind}"
        assert mounted[source] == f"/etc/grafana/provisioning/{kind}"


def test_the_image_is_built_from_what_dockerignore_lets_in() -> None:
    """What is copied is let in, and nothing else is."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    let_in = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copies = re.findall(r"^COPY (?!--)(.*) \S+$", DOCKERFILE, re.MULTILINE)
    assert {source for sources in copies for source in sources.split()} == let_in
    assert "*" in lines


def test_the_ports_agree() -> None:
    """The settings' default is what the image exposes, compose publishes, Prometheus scrapes."""
    assert int(instruction("EXPOSE")) == PORT
    assert f"'WAKEFUL_API__PORT', '{PORT}'" in instruction("HEALTHCHECK")
    assert SERVICES["wakeful"]["ports"] == [f"127.0.0.1:{PORT}:{PORT}"]
    (job,) = PROMETHEUS["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"wakeful:{PORT}"]}]


def test_the_probe_and_the_scrape_ask_routes_that_exist(tmp_path: Path) -> None:
    """Neither needs the token."""
    service = build_service(Settings.model_construct(data_dir=tmp_path))
    try:
        paths = create_app(service).openapi()["paths"]
    finally:
        service.close()
    asked = {PROMETHEUS["scrape_configs"][0]["metrics_path"]}
    asked |= set(re.findall(r"'(/[a-z]+)'", instruction("HEALTHCHECK")))
    asked |= set(re.findall(r"`(/\w+)\?", str(RULES)))
    assert asked == {"/livez", "/metrics", "/readyz"}
    assert asked <= paths.keys()


def test_every_port_is_published_on_loopback_alone() -> None:
    """Kafka, Prometheus and Grafana ask nobody who they are."""
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == 4
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_the_topics_that_are_created_are_the_settings_defaults() -> None:
    """Kafka makes none by itself here, so one that is missing would stop the service."""
    (script,) = SERVICES["topics"]["command"]
    created = dict(re.findall(r"^create (\S+) (\d+)$", script, re.MULTILINE))
    written = {KAFKA.anomalies_topic, KAFKA.episodes_topic, KAFKA.dead_letters_topic}
    assert created.keys() == written | set(KAFKA.topics)
    assert created["events"] == "4"
    assert environment_of("kafka")["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert environment_of("producer") == {
        "WAKEFUL_KAFKA__BOOTSTRAP_SERVERS": "kafka:19092",
        "WAKEFUL_KAFKA__TOPICS": json.dumps(KAFKA.topics),
    }


def test_kafka_answers_at_every_address_that_is_used() -> None:
    """Containers and this machine are each sent to a name that they can reach."""
    environment = environment_of("kafka")
    advertised = dict(
        listener.split("://") for listener in environment["KAFKA_ADVERTISED_LISTENERS"].split(",")
    )
    assert set(advertised.values()) == {"kafka:19092", "127.0.0.1:9092"}
    assert advertised[environment["KAFKA_INTER_BROKER_LISTENER_NAME"]] == "kafka:19092"
    assert SERVICES["kafka"]["ports"] == ["127.0.0.1:9092:9092"]
    assert "kafka:19092" in SERVICES["kafka"]["healthcheck"]["test"]
    assert "--bootstrap-server kafka:19092" in SERVICES["topics"]["command"][0]


def test_every_image_is_pinned_to_a_version() -> None:
    """What worked yesterday works tomorrow; only our own image is built here."""
    images = [service["image"] for service in SERVICES.values() if "build" not in service]
    images += re.findall(r"^FROM (\S+:\S+)", DOCKERFILE, re.MULTILINE)
    assert len(images) == 5
    for image in images:
        assert re.search(r":v?\d+\.\d+\.\d+(-[a-z]+)*$", image), image
    assert SERVICES["kafka"]["image"] == SERVICES["topics"]["image"]


def test_the_service_is_not_root_and_its_data_outlives_it() -> None:
    """A user by number, and a volume at the data folder."""
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", instruction("USER"))
    assert instruction("VOLUME") == image_environment()["WAKEFUL_DATA_DIR"]
    assert image_environment()["NUMBA_CACHE_DIR"] in instruction("RUN useradd")


def test_the_deployment_reports_to_nobody() -> None:
    """What is watched, and that it is, stays with its owner."""
    assert image_environment()["ORT_DISABLE_TELEMETRY"] == "1"
    assert environment_of("grafana")["GF_ANALYTICS_REPORTING_ENABLED"] == "false"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_accepts_the_configuration_every_query_and_what_the_alerts_do(
    tmp_path: Path,
) -> None:
    """Prometheus refuses to start on a rule that it cannot read; Grafana shows an error."""
    config = DEPLOY / "prometheus" / "prometheus.yml"
    panels = tmp_path / "panels.yml"
    rules = [
        {"record": f"panel:{n}", "expr": expression.replace("$__rate_interval", "1m")}
        for n, (_, expression, _) in enumerate(QUERIES)
    ]
    panels.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}), "utf-8")
    checks: list[list[Path | str]] = [
        ["check", "config", config], ["check", "rules", ALERTS_FILE], ["check", "rules", panels],
        ["test", "rules", *RULE_TESTS],
    ]  # fmt: skip
    for check in checks:
        ran = subprocess.run(["promtool", *check], check=False, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr
