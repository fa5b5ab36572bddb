"""The settings of the environments and their errors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stacks.settings import Settings, SettingsError, read_context
from validators.rules import RULES, Severity
from validators.schemas import MAX_FILE_BYTES


def _environments(**changes: object) -> dict[str, Any]:
    environments = read_context()["environments"]
    assert isinstance(environments, dict)
    environments["dev"] |= changes
    return environments


def test_cdk_json_holds_dev_staging_and_prod() -> None:
    environments = _environments()
    assert list(environments) == ["dev", "staging", "prod"]
    for environment in environments:
        assert Settings.read(environments, environment).environment == environment


def test_an_unknown_environment_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"no environment 'production'.*dev, staging, prod"):
        Settings.read(_environments(), "production")


def test_a_cdk_json_without_environments_is_an_error() -> None:
    with pytest.raises(SettingsError, match="environments"):
        Settings.read(None, "dev")


def test_an_unknown_setting_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"'dev': unknown setting batch_windows\. Known are .*batch_window_seconds"):
        Settings.read(_environments(batch_windows=5), "dev")


def test_a_missing_setting_is_an_error() -> None:
    environments = _environments()
    del environments["dev"]["top_songs"]
    with pytest.raises(SettingsError, match="'dev': missing setting top_songs"):
        Settings.read(environments, "dev")


@pytest.mark.parametrize(
    ("setting", "value", "wanted"),
    [
        ("batch_window_seconds", 301, "a whole number of seconds from 0 to 300"),
        ("batch_window_seconds", "5", "a whole number of seconds"),
        ("batch_window_seconds", True, "a whole number of seconds"),
        ("batch_size", 101, "a whole number of files from 1 to 100"),
        ("batch_size", 0, "a whole number of files"),
        ("max_batch_gb", 4, "a whole number of GB from 5 to 500"),
        ("max_batch_gb", 501, "a whole number of GB from 5 to 500"),
        ("max_batch_gb", 20.5, "a whole number of GB"),
        ("max_batch_gb", "20", "a whole number of GB"),
        ("worker_type", "G.025X", "one of 'G.1X'"),
        ("number_of_workers", 1, "a whole number of workers from 2"),
        ("glue_version", "6.0", "one of '5.1'"),
        ("processing_days", 14, "a whole number of days from 15"),
        ("retain_data", 1, "one of True, False"),
        ("retain_data", "false", "one of True, False"),
        ("log_retention_days", 8, "one of 7, 14"),
        ("freshness_slo_seconds", -1, "a whole number of seconds from 0"),
        ("rejected_rows_percent", 0, "a whole number of per cent from 1 to 100"),
        ("no_file_alarm_hours", 169, "a whole number of hours from 0 to 168"),
        ("alert_emails", "a@example.com", "a list of e-mail addresses"),
        ("alert_emails", ["example.com"], "a list of e-mail addresses"),
        ("api_access", "open", "one of 'iam', 'api_key'"),
        ("api_allowed_cidrs", ["0.0.0.0/0"], "none of them wider than /8"),
        ("api_allowed_cidrs", ["0.0.0.0/1", "128.0.0.0/1"], "none of them wider than /8"),
        ("api_allowed_cidrs", ["::/0"], "none of them wider than /8"),
        ("api_allowed_cidrs", ["203.0.113.7/24"], "a list of CIDR blocks"),
        ("api_allowed_cidrs", ["203.0.113.7"], "a list of CIDR blocks"),
        ("api_allowed_cidrs", ["office"], "a list of CIDR blocks"),
        ("api_cors_allowed_origins", ["*"], "a list of origins"),
        ("api_cors_allowed_origins", ["https://charts.example.com/"], "a list of origins"),
        ("api_requests_per_second", 0, "a whole number of requests"),
        ("runbook_url", "http://wiki.example.com/runbook", "the https URL of a page"),
        ("runbook_url", "https://wiki.example.com/runbook#failed", "without #"),
        ("runbook_url", None, "the https URL of a page"),
        ("tolerances", [], "an object of rule ids"),
        ("tolerances", {"bad_timestamp": 1.5}, "fractions from 0 to 1"),
        ("tolerances", {"bad_timestamp": True}, "fractions from 0 to 1"),
        ("tolerances", {"bad_timestamp": "0.1"}, "fractions from 0 to 1"),
        ("tolerances", {"bad_listen_time": float("nan")}, "fractions from 0 to 1"),
        ("tolerances", {"bad_listen_time": -0.1}, "fractions from 0 to 1"),
    ],
)
def test_a_value_of_the_wrong_type_or_out_of_range_is_an_error(setting: str, value: object, wanted: str) -> None:
    with pytest.raises(SettingsError, match=f"'dev': {setting} must be .*{wanted}.*, not "):
        Settings.read(_environments(**{setting: value}), "dev")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("bad_timestamp", "names 'bad_timestamp', which is no row rule. Row rules: .*bad_listen_time"),
        ("Bad_listen_time", "names 'Bad_listen_time', which is no row rule"),
        ("missing_column", "names 'missing_column', which is no row rule"),
        ("unknown_track", "names 'unknown_track', which is no row rule"),
        ("", "names '', which is no row rule"),
    ],
)
def test_a_tolerance_of_what_is_no_row_rule_is_an_error(rule: str, message: str) -> None:
    with pytest.raises(SettingsError, match=f"'dev': The setting `tolerances` {message}"):
        Settings.read(_environments(tolerances={rule: 0.1}), "dev")
    with pytest.raises(SettingsError, match=f"'dev': The setting `tolerances` {message}"):
        Settings.read(_environments(), "dev", overrides={"tolerances": json.dumps({rule: 0.1})})


@pytest.mark.parametrize("rule", [rule.id for rule in RULES if rule.severity is Severity.QUARANTINE_ROW])
@pytest.mark.parametrize("tolerance", [0, 0.005, 1])
def test_every_row_rule_may_have_a_tolerance(rule: str, tolerance: float) -> None:
    assert Settings.read(_environments(tolerances={rule: tolerance}), "dev").tolerances == {rule: tolerance}


def test_the_smallest_batch_holds_the_largest_file() -> None:
    assert Settings.read(_environments(max_batch_gb=5), "dev").max_batch_bytes == MAX_FILE_BYTES
    assert Settings.read(_environments(), "dev").max_batch_bytes == 20 * 2**30


def test_more_than_ten_files_need_a_window() -> None:
    with pytest.raises(SettingsError, match="batch_size over 10 needs a batch_window_seconds of at least 1"):
        Settings.read(_environments(batch_window_seconds=0, batch_size=11), "dev")
    assert Settings.read(_environments(batch_window_seconds=0, batch_size=10), "dev").batch_size == 10


@pytest.mark.parametrize(
    ("environment", "quiet", "limit"), [("dev", 380, 760), ("staging", 420, 840), ("prod", 660, 1320)]
)
def test_a_file_may_take_twice_its_event_its_window_and_two_job_runs(environment: str, quiet: int, limit: int) -> None:
    settings = Settings.read(_environments(), environment)
    assert settings.quiet_freshness_seconds == quiet
    assert settings.freshness_limit_seconds == limit


def test_a_freshness_that_a_file_cannot_keep_while_nothing_else_runs_is_an_error() -> None:
    with pytest.raises(SettingsError, match=r"a freshness_slo_seconds of 600 would ring for ever.* up to 660 seconds"):
        Settings.read(_environments(batch_window_seconds=300, freshness_slo_seconds=600), "dev")
    of_dev = Settings.read(_environments(batch_window_seconds=300, freshness_slo_seconds=661), "dev")
    assert of_dev.freshness_limit_seconds == 661


def test_the_api_is_closed_by_default() -> None:
    for environment in _environments():
        settings = Settings.read(_environments(), environment)
        assert (settings.api_access, settings.api_allowed_cidrs) == ("iam", ())


def test_a_key_alone_does_not_open_the_api() -> None:
    with pytest.raises(SettingsError, match=r"'dev': an api_access of 'api_key' needs api_allowed_cidrs"):
        Settings.read(_environments(api_access="api_key"), "dev")
    allowed = ["203.0.113.0/24", "2001:db8::/32"]
    opened = Settings.read(_environments(api_access="api_key", api_allowed_cidrs=allowed), "dev")
    assert opened.api_allowed_cidrs == ("203.0.113.0/24", "2001:db8::/32")


@pytest.mark.parametrize(
    ("setting", "text", "value"),
    [
        ("alert_emails", "b@example.com, c@example.com", ("b@example.com", "c@example.com")),
        ("alert_emails", "", ()),
        ("alert_emails", ["b@example.com"], ("b@example.com",)),
        ("api_allowed_cidrs", "127.0.0.1/32", ("127.0.0.1/32",)),
        ("batch_size", "7", 7),
        ("max_batch_gb", "7", 7),
        ("retain_data", "true", True),
        ("log_retention_days", "365", 365),
        ("worker_type", "G.2X", "G.2X"),
        ("tolerances", '{"bad_listen_time": 0.5}', {"bad_listen_time": 0.5}),
        ("batch_size", None, 33),
    ],
)
def test_the_command_line_takes_the_place_of_cdk_json(setting: str, text: object, value: object) -> None:
    assert getattr(Settings.read(_environments(), "dev", overrides={setting: text}), setting) == value


@pytest.mark.parametrize(
    ("setting", "text", "message"),
    [
        ("batch_size", "seven", "-c batch_size=seven: it must be a whole number of files"),
        ("batch_size", "101", "batch_size must be a whole number of files from 1 to 100, not 101"),
        ("retain_data", "perhaps", "retain_data must be one of True, False"),
        ("tolerances", "bad_timestamp", "-c tolerances=bad_timestamp"),
        ("api_allowed_cidrs", "0.0.0.0/0", "never open to everybody"),
    ],
)
def test_the_command_line_is_checked_as_cdk_json_is(setting: str, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Settings.read(_environments(), "dev", overrides={setting: text})


def test_tolerances_cannot_be_changed_after_the_check() -> None:
    settings = Settings.read(_environments(tolerances={"bad_listen_time": 0}), "dev")
    assert settings.tolerances == {"bad_listen_time": 0.0}
    with pytest.raises(TypeError):
        settings.tolerances["bad_listen_time"] = 1.0  # type: ignore[index]


@pytest.mark.parametrize(("window", "hidden"), [(0, 30), (5, 30), (60, 360), (300, 1800)])
def test_a_message_is_hidden_for_six_windows_and_thirty_seconds_at_least(window: int, hidden: int) -> None:
    settings = Settings.read(_environments(batch_window_seconds=window, batch_size=10), "dev")
    assert settings.visibility_timeout_seconds == hidden


@pytest.mark.parametrize(("worker_type", "workers", "dpus"), [("G.1X", 2, 2), ("G.2X", 3, 6), ("G.8X", 10, 80)])
def test_a_run_has_the_units_of_all_its_workers(worker_type: str, workers: int, dpus: int) -> None:
    settings = Settings.read(_environments(worker_type=worker_type, number_of_workers=workers), "dev")
    assert settings.dpus == dpus
