"""How settings are read, and what is said when they are wrong."""

import re
from pathlib import Path

import pytest

from service.checks import check_settings
from service.errors import SettingsError
from service.settings.loading import load_settings


def write(tmp_path: Path, text: str, name: str = "wakeful.yaml") -> Path:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return file


def test_flags_win_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, "data_dir: from-file\napi: {port: 1, max_body_bytes: 5}\n")
    monkeypatch.setenv("WAKEFUL_API__PORT", "2")
    monkeypatch.setenv("WAKEFUL_API__HOST", "localhost")
    settings = load_settings(file, {"api": {"host": "127.0.0.1"}})
    assert settings.data_dir == Path("from-file")
    assert (settings.api.port, settings.api.host) == (2, "127.0.0.1")
    assert settings.api.max_body_bytes == 5


def test_a_detector_can_be_set_from_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "KEY": "card",
        "TIME": "at",
        "FEATURES": '["Amount"]',
        "DIRECTION": '{"Amount": "high"}',
        "FALSE_ALARMS_PER_WEEK": "0.5",
    }.items():
        monkeypatch.setenv(f"WAKEFUL_DETECTORS__DEFAULT__{name}", value)
    detector = load_settings().detectors["default"]
    assert (detector.key, detector.time, detector.features) == ("card", "at", ["Amount"])
    assert detector.directions() == {"Amount": 1}
    assert detector.false_alarms_per_week == 0.5


def test_kafka_servers_are_a_list_or_comma_separated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAKEFUL_KAFKA__BOOTSTRAP_SERVERS", "a:1, b:2")
    monkeypatch.setenv("WAKEFUL_KAFKA__TOPICS", '["x", "y"]')
    monkeypatch.setenv("WAKEFUL_KAFKA__OPTIONS", '{"security.protocol": "SSL"}')
    kafka = load_settings().kafka
    assert kafka.bootstrap_servers == ["a:1", "b:2"]
    assert kafka.topics == ["x", "y"]
    assert kafka.options == {"security.protocol": "SSL"}
    monkeypatch.setenv("WAKEFUL_KAFKA__BOOTSTRAP_SERVERS", '["a:1"]')
    assert load_settings().kafka.bootstrap_servers == ["a:1"]


def test_toml_says_the_same_as_yaml(tmp_path: Path) -> None:
    yaml = write(tmp_path, "detectors: {d: {features: [a]}}\n")
    toml = write(tmp_path, '[detectors.d]\nfeatures = ["a"]\n', "wakeful.toml")
    assert load_settings(yaml) == load_settings(toml)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("api: {port: high}", "api.port"),
        ("api: {prot: 1}", "api.prot"),
        ("unknown: 1", "unknown"),
        ("detectors: {d: {false_alarms_per_week: 0}}", "detectors.d.false_alarms_per_week"),
        ("detectors: {d: {direction: {a: up}}}", "detectors.d.direction.a"),
        ("detectors: {d: {features: [a, a]}}", "detectors.d"),
        ("detectors: {d: {features: [" + "a" * 256 + "]}}", "at most 255 bytes"),
        ('detectors: {d: {features: ["a\\0"]}}', "detectors.d.features"),
        ("detectors: {d: {features: [a], direction: {b: low}}}", "detectors.d.direction"),
        ("detectors: {d: {artifact: /nowhere}}", "detectors.d.artifact"),
        ("kafka: {options: {no.such.option: 1}}", "no.such.option"),
        ("kafka: {options: {group.id: x}}", "kafka.group_id"),
        ("- a list", "wakeful.yaml"),
        ("a: [", "wakeful.yaml"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(tmp_path: Path, text: str, place: str) -> None:
    with pytest.raises(SettingsError, match=place.replace(".", r"\.")):
        check_settings(load_settings(write(tmp_path, text)))


def test_every_problem_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as error:
        load_settings(write(tmp_path, "api: {port: -1}\nkafka: {topics: []}\n"))
    assert "api.port" in str(error.value)
    assert "kafka.topics" in str(error.value)


def test_a_token_is_a_secret(tmp_path: Path) -> None:
    secret = write(tmp_path, "secret\n", "token")
    settings = load_settings(None, {"api": {"host": "0.0.0.0", "token_file": secret}})  # noqa: S104
    assert settings.api.secret() == "secret"
    assert "secret" not in repr(load_settings(None, {"api": {"token": "secret"}}))


def test_an_environment_variable_that_is_not_json_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAKEFUL_KAFKA__TOPICS", "not json")
    with pytest.raises(SettingsError, match="WAKEFUL_KAFKA__TOPICS"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("detectors: {default: {feature: [a]}}", "did you mean features?"),
        ("apis: {}", "did you mean api?"),
        ("api: {xyzzy: 1}", "there are host, port"),
        ("detectors: {Web: {}}", "a-z"),
        ("kafka: {topics: [a, wakeful.anomalies]}", "cannot be read too"),
        ("kafka: {topics: ['events-.*']}", "a pattern begins with ^"),
        ("kafka: {topics: ['^events-(']}", "no regular expression"),
        ("detectors: {a: {topics: ['^(?i)events']}}", "no regular expression"),
        ("kafka: {topics: ['^a)|(b']}", "no regular expression"),
        ("kafka: {topics: ['^a{99999999999}']}", "no regular expression"),
        ("kafka: {topics: ['^(?P<n>a)', '^(?P<n>b)']}", "has a named group"),
        ("kafka: {topics: ['^(a)\\1x', '^(b)\\1y']}", "refers to a group"),
        ("kafka: {topics: ['^(a)?(?(1)b|c)']}", "refers to a group"),
        ("kafka: {topics: ['^" + "a" * 249 + "']}", "longer than 249"),
    ],
)
def test_what_is_wrong_is_said_with_what_would_be_right(
    tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(says)):
        load_settings(write(tmp_path, text))


def test_a_misspelt_variable_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAKEFUL_DETECTOR__DEFAULT__KEY", "card")
    with pytest.raises(SettingsError, match="did you mean WAKEFUL_DETECTORS"):
        load_settings()


def test_a_file_that_is_not_yaml_is_placed_and_not_quoted(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as error:
        load_settings(write(tmp_path, 'api:\n  token: "Secret123\n  host: x\n'))
    assert "Secret123" not in str(error.value)
    assert "wakeful.yaml:" in str(error.value)
