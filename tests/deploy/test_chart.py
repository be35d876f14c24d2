"""The Helm chart, rendered by Helm itself, against Kubernetes' schemas and against the service."""

import json
import re
from functools import cache
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import kubernetes_validate
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service import workers
from service.api.app import create_app
from service.bootstrap import build_service
from service.checks import check_settings
from service.cli import main
from service.errors import SettingsError
from service.memory.changelog import TOPIC_CONFIG
from service.settings.loading import load_settings
from service.settings.tree import Settings
from tests.deploy.test_deploy_files import (
    ALERTS_FILE,
    DEPLOY,
    PORT,
    PROMETHEUS,
    ROOT,
    RULES,
    SERVICES,
    image_environment,
    instruction,
    matchers,
    read_yaml,
)

helm = pytest.importorskip("helm_python", reason="NOT TESTED: HELM, no build for this platform")

Document = dict[str, Any]
CHART = helm.Chart.load(DEPLOY / "helm" / "wakeful")
DEFAULT: Document = {}
FULL: Document = read_yaml(DEPLOY / "helm" / "wakeful" / "ci" / "full-values.yaml")
KAFKA_ALONE: Document = {"config": {"kafka": {"bootstrap_servers": "kafka:9092"}}, "replicas": 2}
WRITTEN = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
EXAMPLE: Document = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", WRITTEN, re.DOTALL)[0])
OLDEST = re.findall(r"\d+\.\d+", CHART.metadata["kubeVersion"])[0]
NEWEST = kubernetes_validate.latest_version().removesuffix(".0")
BUILT_IN = {
    "ConfigMap", "Ingress", "NetworkPolicy", "PodDisruptionBudget", "Service", "StatefulSet",
}  # fmt: skip
CUSTOM = {
    "KafkaTopic": "kafka.strimzi.io/v1",
    "KafkaUser": "kafka.strimzi.io/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
    "ScaledObject": "keda.sh/v1alpha1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
}
CONTENTS = {
    "api-token": "a token",
    "history-url": "postgresql://user:password@database/history",
}
each_values = pytest.mark.parametrize("values", [DEFAULT, KAFKA_ALONE, EXAMPLE, FULL])


def rendered(values: Document, name: str = "plant") -> list[Document]:
    """Every document that an installation of this name in the namespace `detection` applies."""
    CHART.validate_schema(values)
    made = CHART.render(values, name=name, namespace="detection")
    texts = [text for file, text in made.items() if not file.endswith(".txt")]
    return [one for one in chain.from_iterable(map(yaml.safe_load_all, texts)) if one]


@cache
def _of(text: str) -> list[Document]:
    return rendered(json.loads(text))


def of_kind(kind: str, values: Document) -> list[Document]:
    return [one for one in _of(json.dumps(values)) if one["kind"] == kind]


def only(kind: str, values: Document) -> Document:
    (one,) = of_kind(kind, values)
    return one


def pod(values: Document) -> Document:
    return only("StatefulSet", values)["spec"]["template"]


def container(values: Document) -> Document:
    (one,) = pod(values)["spec"]["containers"]
    return one


def config_map(values: Document) -> dict[str, str]:
    data: dict[str, str] = only("ConfigMap", values)["data"]
    return data


def secrets_of(values: Document) -> list[Document]:
    """Those that are mounted as one file each."""
    (volume,) = [one for one in pod(values)["spec"]["volumes"] if one["name"] == "secrets"]
    return [source["secret"] for source in volume["projected"]["sources"]]


def environment(values: Document, pod_name: str = "plant-0") -> dict[str, str]:
    """What Kubernetes gives to a pod's process."""
    given = {one["name"]: one.get("value", pod_name) for one in container(values)["env"]}
    return {name: value.replace("$(POD_NAME)", pod_name) for name, value in given.items()}


def served(values: Document, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings that the pod's process reads, with its files under `folder`."""
    mounts = {one["name"]: one["mountPath"] for one in container(values)["volumeMounts"]}
    moved = str(folder / "notify")
    files = {
        f"{mounts['config']}/{name}": text.replace("/run/secrets/notify", moved)
        for name, text in config_map(values).items()
    }
    for secret in values.get("secrets", {}).get("notify", ()):
        assert f"/run/secrets/notify/{secret}" in mounts.values()
        (folder / "notify" / secret).mkdir(parents=True, exist_ok=True)
        (folder / "notify" / secret / "pagerduty").write_text("a-key", encoding="utf-8")
    for source in secrets_of(values):
        for item in source["items"]:
            files[f"{mounts['secrets']}/{item['path']}"] = CONTENTS[item["path"]]
    for name, text in files.items():
        file = Path(f"{folder}{name}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    for name, value in environment(values).items():
        if name.startswith("WAKEFUL_"):
            monkeypatch.setenv(name, f"{folder}{value}" if value in files else value)
    given = [f"{folder}{text}" if text in files else text for text in container(values)["args"]]
    command = main.commands[given[0]]
    flags = command.make_context(given[0], given[1:]).params
    return load_settings(
        flags["config"], {"data_dir": flags["data_dir"], "api": {"host": flags["host"]}}
    )


@each_values
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_takes_every_document(values: Document, version: str) -> None:
    """By its own schemas, of the oldest version that the chart allows and of the newest."""
    documents = [one for one in _of(json.dumps(values)) if one["kind"] not in CUSTOM]
    assert {one["kind"] for one in documents} <= BUILT_IN
    for one in documents:
        assert kubernetes_validate.validate(one, version, strict=True) == version


def test_every_kind_is_rendered_where_everything_is_asked_for() -> None:
    """Or nothing here would look at it; each name is there once."""
    documents = _of(json.dumps(FULL))
    assert {one["kind"] for one in documents} == BUILT_IN | CUSTOM.keys()
    assert all(CUSTOM.get(one["kind"], one["apiVersion"]) == one["apiVersion"] for one in documents)
    names = [(one["kind"], one["metadata"]["name"]) for one in documents]
    assert len(set(names)) == len(names)
    assert {one["kind"] for one in _of("{}")} == BUILT_IN - {"Ingress", "NetworkPolicy"}


def test_helm_finds_no_fault() -> None:
    for values in (DEFAULT, FULL):
        report = helm.lint(DEPLOY / "helm" / "wakeful", values, strict=True)
        assert report["errors"] == []
        assert [one for one in report["messages"] if one["severity"] > 1] == []


def test_the_chart_is_of_this_version() -> None:
    version = re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.M)
    assert [CHART.metadata["appVersion"]] == version
    assert container(DEFAULT)["image"] == f"wakeful:{version[0]}"


@each_values
def test_a_pod_starts_with_valid_settings(
    values: Document, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Open to the cluster, so with a token; its folder is its volume."""
    loaded = served(values, tmp_path, monkeypatch)
    if "ssl.ca.location" not in loaded.kafka.options:  # the certificates are nowhere
        check_settings(loaded)
    assert loaded.api.host == "0.0.0.0"  # noqa: S104 - within the pod
    assert loaded.api.secret() == CONTENTS["api-token"]
    assert {"name": "data", "mountPath": str(loaded.data_dir)} in container(values)["volumeMounts"]
    (claim,) = only("StatefulSet", values)["spec"]["volumeClaimTemplates"]
    size = int(claim["spec"]["resources"]["requests"]["storage"].removesuffix("Gi")) * 2**30
    assert size > 2 * loaded.history.max_bytes
    assert container(values)["ports"] == [{"name": "http", "containerPort": loaded.api.port}]


def test_what_is_asked_for_in_full_is_what_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = served(FULL, tmp_path, monkeypatch)
    asked = FULL["config"]
    assert loaded.kafka.options == {
        **asked["kafka"]["options"],
        "group.instance.id": "plant-0",
    }
    assert loaded.history.secret() == CONTENTS["history-url"]
    assert loaded.history.max_bytes == asked["history"]["max_bytes"]
    assert loaded.limits.max_resident_streams == asked["limits"]["max_resident_streams"]
    assert loaded.detectors["pumps"].features == ["temperature", "on", "1e3"]
    assert loaded.detectors["pumps"].rules["temperature"].limits == (None, 120)
    mounted = {one["mountPath"] for one in container(FULL)["volumeMounts"]}
    files = {text for text in loaded.kafka.options.values() if str(text).startswith("/")}
    assert len(files) == 3
    assert {str(Path(file).parent) for file in files} <= mounted


@given(
    name=st.text(st.characters(exclude_categories=["Cc", "Cn", "Cs"]), min_size=1, max_size=12),
    share=st.floats(0, 1e300),
    count=st.integers(1, 2**53),
)
@example("=", 1e300, 2**31)
@example("<<", 1e-9, 1_000_000)
@example("\u2028", 0.1, 2**53)
@settings(max_examples=25, deadline=None)
def test_whatever_a_setting_is_the_service_reads_the_same(
    name: str, share: float, count: int
) -> None:
    """YAML knows many words and numbers by other names, and Helm writes what it has read."""
    rules = {name: {"least_share": share}}
    detector = {"key": name, "features": ["a", name * 2], "rules": rules}
    config = {"detectors": {"d": detector}, "limits": {"max_event_bytes": count}}
    (made,) = [one for one in rendered({"config": config}) if one["kind"] == "ConfigMap"]
    ((file, text),) = made["data"].items()
    with TemporaryDirectory() as folder:
        path = Path(folder, file)
        path.write_text(text, encoding="utf-8")
        assert load_settings(path) == load_settings(None, config)


def test_instances_find_each_other_by_the_names_of_their_pods() -> None:
    """The address that each advertises is of a pod of the StatefulSet's headless Service."""
    stateful = only("StatefulSet", FULL)
    (headless,) = [
        one for one in of_kind("Service", FULL) if one["spec"].get("clusterIP") == "None"
    ]
    assert headless["metadata"]["name"] == stateful["spec"]["serviceName"]
    assert headless["spec"]["publishNotReadyAddresses"]
    (port,) = headless["spec"]["ports"]
    address = f"http://plant-1.{headless['metadata']['name']}.detection.svc:{port['port']}"
    assert environment(FULL, "plant-1")["WAKEFUL_API__ADVERTISE"] == address
    assert container(FULL)["ports"][0]["containerPort"] == port["port"] == PORT


@each_values
def test_what_selects_pods_selects_those_of_this_release_alone(values: Document) -> None:
    labels = pod(values)["metadata"]["labels"].items()
    (other,) = [one for one in rendered(values, "other") if one["kind"] == "StatefulSet"]
    others = other["spec"]["template"]["metadata"]["labels"].items()
    selectors = [
        *(one["spec"]["selector"] for one in of_kind("Service", values)),
        *(one["spec"]["podSelector"]["matchLabels"] for one in of_kind("NetworkPolicy", values)),
        only("StatefulSet", values)["spec"]["selector"]["matchLabels"],
        only("PodDisruptionBudget", values)["spec"]["selector"]["matchLabels"],
    ]
    assert all(selector.items() <= labels for selector in selectors)
    assert not any(selector.items() <= others for selector in selectors)


def test_the_probes_ask_routes_that_exist(tmp_path: Path) -> None:
    """A start may compile; a broker that is away is no reason for a restart."""
    service = build_service(Settings.model_construct(data_dir=tmp_path))
    try:
        paths = create_app(service).openapi()["paths"]
    finally:
        service.close()
    probes = {
        name: container(DEFAULT)[f"{name}Probe"]["httpGet"]
        for name in ("startup", "liveness", "readiness")
    }
    asked = {name: probe["path"] for name, probe in probes.items()}
    assert asked == {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}
    assert {probe["port"] for probe in probes.values()} == {container(DEFAULT)["ports"][0]["name"]}
    (endpoint,) = only("ServiceMonitor", FULL)["spec"]["endpoints"]
    assert {*asked.values(), endpoint["path"]} <= paths.keys()


def test_a_graceful_stop_has_its_time() -> None:
    """As much as workers have, and the composed service."""
    seconds = pod(DEFAULT)["spec"]["terminationGracePeriodSeconds"]
    assert seconds == workers.END_SECONDS
    assert SERVICES["wakeful"]["stop_grace_period"] == "1m"


@each_values
def test_pods_may_do_little(values: Document) -> None:
    """What Kubernetes' `restricted` profile asks, and nothing of the image can be written."""
    spec = pod(values)["spec"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not spec["automountServiceAccountToken"]
    for one in spec["initContainers"] + spec["containers"]:
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }
        assert one["resources"]["limits"]["memory"]


def test_what_the_image_writes_to_is_a_volume() -> None:
    """The machine code that it brought is put there first; the user is the image's."""
    spec = pod(DEFAULT)["spec"]
    written = [one["mountPath"] for one in container(DEFAULT)["volumeMounts"] if len(one) == 2]
    cache_folder = image_environment()["NUMBA_CACHE_DIR"]
    assert {cache_folder, image_environment()["WAKEFUL_DATA_DIR"], "/tmp"} == set(written)  # noqa: S108 - the pod's
    (first,) = spec["initContainers"]
    assert first["command"] == [
        "cp",
        "-R",
        f"{cache_folder}/.",
        first["volumeMounts"][0]["mountPath"],
    ]
    assert first["image"] == container(DEFAULT)["image"]
    user = spec["securityContext"]
    assert instruction("USER") == f"{user['runAsUser']}:{user['runAsGroup']}"


def test_variables_of_a_service_are_kept_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubernetes makes some for each Service; those of one named `wakeful` look like settings."""
    assert pod(DEFAULT)["spec"]["enableServiceLinks"] is False
    monkeypatch.setenv("WAKEFUL_SERVICE_HOST", "10.0.0.1")
    with pytest.raises(SettingsError, match="WAKEFUL_SERVICE_HOST"):
        load_settings()


@each_values
def test_no_secret_is_rendered(values: Document) -> None:
    """They are named, and mounted as files."""
    documents = _of(json.dumps(values))
    assert "Secret" not in {one["kind"] for one in documents}
    assert all(
        "secret" not in str(one.get("valueFrom")).lower() for one in container(values)["env"]
    )
    asked = CHART.merge_values(values)["secrets"]
    named = {asked["apiToken"]["name"], asked["historyUrl"]["name"]} - {""}
    assert {source["name"] for source in secrets_of(values)} == named


@pytest.mark.parametrize(
    "values",
    [
        {"replica": 2},
        {"replicas": "two"},
        {"image": {"name": "wakeful"}},
        {"secrets": {"apiToken": {"value": "abc"}}},
        {"secrets": {"apiToken": {"name": ""}}},
        {"persistence": {"size": "ten"}},
        {"service": {"type": "Internal"}},
        {"strimzi": {"authentication": "plain"}},
        {"config": {"kafka": {"topic": ["a"]}}},
        {"config": {"kafka": {"topics": []}}},
        {"config": {"detectors": {"d": {"direction": {"a": "up"}}}}},
        {"config": {"checkpoint": {"interval_seconds": 0}}},
        {"config": {"api": {"token": "abc"}}},
        {"config": {"api": {"port": 80}}},
        {"config": {"data_dir": "/elsewhere"}},
        {"config": {"history": {"url": "postgresql://u:p@h/d"}}},
        {"config": {"kafka": {"options": {"sasl.plain.password": "abc"}}}},
        {"config": {"kafka": {"options": {"ssl_password": "abc"}}}},
        {"config": {"kafka": {"options": {"sasl.oauthbearer.client.secret": "abc"}}}},
        {"config": {"kafka": {"options": {"group.instance.id": "same"}}}},
    ],
    ids=str,
)
def test_what_is_no_value_of_the_chart_is_refused(values: Document) -> None:
    """Before anything is installed: a misspelt name, a setting that the service would refuse, a
    secret in the open, and what the chart sets itself."""
    with pytest.raises(helm.HelmValuesError):
        CHART.validate_schema(values)


@pytest.mark.parametrize("values", [{"replicas": 2}, {"autoscaling": {"enabled": True}}], ids=str)
def test_several_pods_need_kafka(values: Document) -> None:
    """The embedded log is of one process: two would each have half of every stream."""
    with pytest.raises(helm.HelmRenderError, match="set config"):
        rendered(values)


def test_other_settings_roll_the_pods() -> None:
    """They are read at the start alone."""
    other = {**FULL, "config": {**FULL["config"], "checkpoint": {"interval_seconds": 3}}}
    assert pod(FULL)["metadata"]["annotations"] != pod(other)["metadata"]["annotations"]
    assert pod(FULL) == pod({**FULL, "autoscaling": {**FULL["autoscaling"], "lag": 5}})


def test_large_numbers_are_rendered_as_they_are_read() -> None:
    """KEDA takes digits alone."""
    (trigger,) = only("ScaledObject", FULL)["spec"]["triggers"]
    assert trigger["metadata"]["lagThreshold"] == str(FULL["autoscaling"]["lag"]) == "2500000"


def test_the_claims_can_be_upgraded() -> None:
    """Kubernetes refuses another template of claims, so no version may stand in it."""
    (claim,) = only("StatefulSet", FULL)["spec"]["volumeClaimTemplates"]
    assert CHART.version not in str(claim)


def test_the_alert_rules_are_those_that_stand_beside_the_chart() -> None:
    assert only("PrometheusRule", FULL)["spec"] == read_yaml(ALERTS_FILE)


def test_a_packaged_chart_renders_the_same(tmp_path: Path) -> None:
    """The rules lie outside of its folder, and come along."""
    with helm.Chart.load(helm.package(DEPLOY / "helm" / "wakeful", destination=tmp_path)) as packed:
        made = packed.render(FULL, name="plant", namespace="detection")
    assert made == CHART.render(FULL, name="plant", namespace="detection")


def test_each_pod_is_scraped_once_as_the_job_that_the_rules_name() -> None:
    monitor = only("ServiceMonitor", FULL)["spec"]
    wanted = monitor["selector"]["matchLabels"].items()
    (found,) = [
        one for one in of_kind("Service", FULL) if wanted <= one["metadata"]["labels"].items()
    ]
    jobs = {value for rule in RULES for label, value in matchers(rule["expr"]) if label == "job"}
    assert jobs == {found["metadata"]["labels"][monitor["jobLabel"]]}
    assert monitor["endpoints"][0]["port"] in {port["name"] for port in found["spec"]["ports"]}
    assert (
        CHART.values["metrics"]["serviceMonitor"]["interval"]
        == PROMETHEUS["global"]["scrape_interval"]
    )


def test_lag_adds_pods_and_takes_none_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = served(FULL, tmp_path, monkeypatch)
    scaled = only("ScaledObject", FULL)["spec"]
    stateful = only("StatefulSet", FULL)
    assert "replicas" not in stateful["spec"]  # or each upgrade would undo it
    target = scaled["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("StatefulSet", stateful["metadata"]["name"])
    (trigger,) = scaled["triggers"]
    assert trigger["metadata"]["consumerGroup"] == loaded.kafka.group_id
    assert trigger["metadata"]["bootstrapServers"].split(",") == loaded.kafka.bootstrap_servers
    assert all(isinstance(value, str) for value in trigger["metadata"].values())
    behaviour = scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behaviour["scaleDown"] == {"selectPolicy": "Disabled"}
    autoscaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "made-by-keda"},
        "spec": {"scaleTargetRef": target, "maxReplicas": 2, "behavior": behaviour},
    }
    kubernetes_validate.validate(autoscaler, NEWEST, strict=True)


def test_the_network_is_open_where_it_is_used() -> None:
    policy = only("NetworkPolicy", FULL)["spec"]
    ports = [{port["port"] for port in rule["ports"]} for rule in policy["egress"]]
    assert ports == [{53}, {PORT}, {9093}, {5432}, {443}]
    (inward,) = policy["ingress"]
    assert inward["ports"] == [{"port": PORT}]
    assert len(inward["from"]) == 2
    alone = only("NetworkPolicy", {"networkPolicy": {"enabled": True}})["spec"]
    assert [{port["port"] for port in rule["ports"]} for rule in alone["egress"]] == [{53}, {PORT}]
    assert len(alone["ingress"][0]["from"]) == 1


@pytest.mark.parametrize("values", [EXAMPLE, FULL])
def test_the_topics_and_rights_are_those_of_the_settings(
    values: Document, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compacted memories; what is read is not written, and nothing is made, changed or deleted."""
    loaded = served(values, tmp_path, monkeypatch)
    kafka = loaded.kafka
    read = {topic for name in loaded.detectors for topic in loaded.topics_of(name)}
    written = {kafka.anomalies_topic, kafka.episodes_topic, kafka.dead_letters_topic}
    memories = {kafka.memory_topic_of(name) for name in loaded.detectors}
    made = {one["spec"]["topicName"]: one for one in of_kind("KafkaTopic", values)}
    assert made.keys() == read | written | memories
    for name, topic in made.items():
        config = {option: str(value) for option, value in topic["spec"].get("config", {}).items()}
        assert config == (TOPIC_CONFIG if name in memories else {})
        assert topic["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
        assert re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", topic["metadata"]["name"])
    may: dict[tuple[str, ...], set[str]] = {
        **{("topic", name, "literal"): {"Read"} for name in read},
        **{("topic", name, "literal"): {"Write"} for name in written},
        **{("topic", name, "literal"): {"Read", "Write"} for name in memories},
        ("group", kafka.group_id, "literal"): {"Read"},
        ("transactionalId", f"{kafka.group_id}.", "prefix"): {"Write"},
    }
    acls = only("KafkaUser", values)["spec"]["authorization"]["acls"]
    assert {tuple(one["resource"].values()): set(one["operations"]) for one in acls} == may
