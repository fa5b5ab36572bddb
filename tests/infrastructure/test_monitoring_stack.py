"""Alarms, dashboard and tables: what they watch is really put, and every alarm says what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest

from glue_scripts import names
from lambdas.pipeline_health.handler import handler
from stacks.constructs.lake_tables import LAKE_TABLES
from tests.cloudwatch import Series, put_series, watched_by_alarm, watched_by_dashboard
from tests.emitting import emit_as_the_jobs
from tests.infrastructure.templates import Deployment, Properties, Template, properties, resources, text
from tests.unit.conftest import Tables, dynamodb_endpoint, tables  # noqa: F401 - fixtures

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

TOLD_BY_THE_NOTIFIER = {
    "executions-failed",
    "executions-timed-out",
    "executions-aborted",
    "validate-batch-runs-failed",
    "compute-kpis-runs-failed",
}
"""An execution that did not succeed sends an e-mail of its own; a job run that fails twice fails its execution."""
WRONG_WITHOUT_DATA = {"oldest-unpublished", "no-file"}


@cache
def _metrics_of_aws() -> dict[str, dict[str, list[str]]]:
    """Namespace -> metric -> dimensions, from the pages that the list names."""
    listed = json.loads((HERE / "aws_metrics.json").read_text(encoding="utf-8"))
    return {namespace: entry["metrics"] for namespace, entry in listed.items()}


def _alarms(deployment: Deployment) -> dict[str, Properties]:
    """Every alarm, by its name without the environment."""
    alarms = [one["Properties"] for one in resources(deployment.monitoring, "AWS::CloudWatch::Alarm")]
    return {alarm["AlarmName"].removeprefix(f"music-kpi-{deployment.environment}-"): alarm for alarm in alarms}


def _resolved(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """With every intrinsic function as text."""
    match value:
        case {"Ref": _} | {"Fn::GetAtt": _} | {"Fn::ImportValue": _} | {"Fn::Join": _}:
            return text(value)
        case dict():
            return {key: _resolved(one) for key, one in value.items()}
        case list():
            return [_resolved(one) for one in value]
        case _:
            return value


def _dashboard(template: Template) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(text(properties(template, "AWS::CloudWatch::Dashboard")["DashboardBody"]))
    return body


def _watched(template: Template) -> Iterator[Series]:
    for alarm in resources(template, "AWS::CloudWatch::Alarm"):
        yield from watched_by_alarm(_resolved(alarm["Properties"]))
    yield from watched_by_dashboard(_dashboard(template))


def _unknown(template: Template, put: set[Series]) -> list[Series]:
    """What alarms and dashboard watch and nobody puts."""
    with_units = put | {Series(one.namespace, one.name, one.dimensions) for one in put}
    return [one for one in _watched(template) if one not in with_units and not _is_of_aws(one)]


def _is_of_aws(series: Series) -> bool:
    dimensions = _metrics_of_aws().get(series.namespace, {}).get(series.name)
    return dimensions is not None and sorted(name for name, _ in series.dimensions) == sorted(dimensions)


@pytest.fixture
def put(dynamodb_endpoint: str, tables: Tables, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], set[Series]]:  # noqa: F811
    """What all our code puts in an environment, on moto."""
    for name, value in {
        "AWS_ENDPOINT_URL": dynamodb_endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "DATA_BUCKET": "data",
        "LEDGER_TABLE": tables.ledger_table.name,
    }.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="data")

    def put_in(environment: str) -> set[Series]:
        monkeypatch.setenv("ENVIRONMENT", environment)
        emit_as_the_jobs(environment)
        handler({}, None)
        return put_series(boto3.client("cloudwatch"), environment)

    return put_in


def test_every_alarm_and_every_graph_watches_a_metric_that_somebody_puts(
    deployment: Deployment, put: Callable[[str], set[Series]]
) -> None:
    assert _unknown(deployment.monitoring, put(deployment.environment)) == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('"MetricName": "Freshness"', '"MetricName": "Freshnes"'),
        ('"MetricName": "ExecutionsFailed"', '"MetricName": "ExecutionFailed"'),
        ('"Name": "Environment"', '"Name": "Environments"'),
        ('"Name": "RuleName"', '"Name": "Rule"'),
        ('"Unit": "Seconds"', '"Unit": "Milliseconds"'),
        ('"Namespace": "MusicKpi"', '"Namespace": "MusicKpis"'),
    ],
)
def test_a_misspelled_metric_dimension_unit_or_namespace_is_found(
    right: str, wrong: str, dev: Deployment, put: Callable[[str], set[Series]]
) -> None:
    written = json.dumps(dev.monitoring)
    assert right in written
    assert _unknown(json.loads(written.replace(right, wrong)), put("dev")) != []


def test_the_alarms_are_these(deployment: Deployment) -> None:
    optional = {"no-file"} if deployment.settings.no_file_alarm_hours else set()
    assert set(_alarms(deployment)) == optional | TOLD_BY_THE_NOTIFIER | {
        "executions-throttled",
        "notifier-failed",
        "metrics-missing",
        "events-lost",
        "pipe-failing",
        "uploads-waiting",
        "files-forgotten",
        "upload-dead-letters",
        "notifier-dead-letters",
        "kpis-throttled",
        "kpis-system-errors",
        "ledger-throttled",
        "ledger-system-errors",
        "api-errors",
        "freshness",
        "oldest-unpublished",
        "rows-rejected",
    }


def test_an_alarm_goes_to_the_alert_topic_unless_an_email_tells_its_cause_already(deployment: Deployment) -> None:
    for name, alarm in _alarms(deployment).items():
        actions = [text(action) for action in alarm.get("AlarmActions", [])]
        assert not alarm.keys() & {"OKActions", "InsufficientDataActions"}
        if name in TOLD_BY_THE_NOTIFIER:
            assert actions == [], name
        else:
            (action,) = actions
            assert "AlertsTopic" in action


def test_missing_data_is_wrong_only_where_data_come_in_any_case(deployment: Deployment) -> None:
    wrong = {name for name, one in _alarms(deployment).items() if one["TreatMissingData"] == "breaching"}
    assert wrong == WRONG_WITHOUT_DATA & set(_alarms(deployment))
    assert {one["TreatMissingData"] for one in _alarms(deployment).values()} == {"breaching", "notBreaching"}


def test_a_sum_counts_what_has_no_data_as_zero(deployment: Deployment) -> None:
    """In metric math a sum has no value where one of its metrics has none, and counts of errors rarely have one."""
    for name, alarm in _alarms(deployment).items():
        for query in alarm.get("Metrics", []):
            if " + " in query.get("Expression", ""):
                assert re.fullmatch(r"FILL\(m\d, 0\)( \+ FILL\(m\d, 0\))+", query["Expression"]), name


def test_an_alarm_about_dynamodb_recovers_when_its_metric_has_no_data_any_more(deployment: Deployment) -> None:
    """CloudWatch ignores TreatMissingData there: the state would stay as it is."""
    about_tables = {name: alarm for name, alarm in _alarms(deployment).items() if "AWS/DynamoDB" in json.dumps(alarm)}
    assert about_tables.keys() == {
        f"{table}-{what}" for table in ("kpis", "ledger") for what in ("throttled", "system-errors")
    }
    for name, alarm in about_tables.items():
        (expression,) = [query["Expression"] for query in alarm["Metrics"] if query["ReturnData"]]
        measured = {query["Id"] for query in alarm["Metrics"] if "MetricStat" in query}
        assert set(re.findall(r"FILL\((\w+), 0\)", expression)) == measured, name
        assert re.sub(r"FILL\(\w+, 0\)", "", expression).strip(" +") == "", name


@pytest.mark.parametrize(("table", "day"), [("reports", "date"), ("plays", "listen_date")])
def test_a_table_of_days_says_that_a_query_must_name_them(deployment: Deployment, table: str, day: str) -> None:
    (found,) = [
        one["Properties"]["TableInput"]
        for one in resources(deployment.monitoring, "AWS::Glue::Table")
        if one["Properties"]["TableInput"]["Name"] == table
    ]
    assert (
        f"Name the days by a condition on {day}: without one Athena lists each day since 2000-01-01."
        in found["Description"]
    )
    assert f"projection.{day}.range" in found["Parameters"]


def test_every_query_of_the_document_names_its_days() -> None:
    document = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    queries = re.findall(r"```sql\n(.*?)```", document, re.DOTALL)
    assert len(queries) > 3
    for query in queries:
        (table,) = re.findall(r"\bFROM (reports|plays|quarantine)\b", query)
        day = {"reports": r'"date" (=|>=|BETWEEN) ', "plays": r"listen_date (=|>=|BETWEEN) ", "quarantine": ""}[table]
        assert re.search(rf"\b(WHERE|AND) {day}", query), query


def test_every_alarm_says_what_to_do_and_stands_in_the_document(deployment: Deployment) -> None:
    document = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    headings = set(re.findall(r"^### (.+)$", document, re.MULTILINE))
    alarms = _alarms(deployment)
    for name, alarm in alarms.items():
        assert alarm["AlarmDescription"].endswith(f" See docs/monitoring.md, {name}.")
        assert len(alarm["AlarmDescription"]) <= 1024
    assert headings == set(alarms) | {"no-file"}


def test_the_settings_are_the_limits(deployment: Deployment) -> None:
    alarms, settings = _alarms(deployment), deployment.settings
    freshness = alarms["freshness"]
    assert (freshness["ExtendedStatistic"], freshness["Threshold"]) == ("p95", settings.freshness_limit_seconds)
    assert alarms["rows-rejected"]["Threshold"] == settings.rejected_rows_percent
    hours = settings.no_file_alarm_hours
    assert ("no-file" in alarms) is bool(hours)
    if hours:
        assert (alarms["no-file"]["Period"], alarms["no-file"]["EvaluationPeriods"]) == (3600, hours)


def test_the_dashboard_has_a_row_for_each_question_and_shows_every_alarm(deployment: Deployment) -> None:
    widgets = _dashboard(deployment.monitoring)["widgets"]
    titles = [one["properties"]["markdown"] for one in widgets if one["type"] == "text"]
    assert titles[1:] == ["## Flow", "## Quality", "## Freshness", "## Cost", "## Errors"]
    (shown,) = [one["properties"]["alarms"] for one in widgets if one["type"] == "alarm"]
    assert len(shown) == len(_alarms(deployment))
    for y in {one["y"] for one in widgets}:
        assert sum(one["width"] for one in widgets if one["y"] == y) == 24


def test_the_dashboard_shows_every_metric_of_ours(dev: Deployment) -> None:
    written = json.dumps(_dashboard(dev.monitoring))
    assert [metric.name for metric in names.METRICS if metric.name not in written] == []


def test_a_table_is_projected_from_the_folders_that_its_prefix_has(deployment: Deployment) -> None:
    inputs = [one["Properties"]["TableInput"] for one in resources(deployment.monitoring, "AWS::Glue::Table")]
    created = {one["Name"]: one for one in inputs}
    assert created.keys() == {table.name for table in LAKE_TABLES}
    for table in LAKE_TABLES:
        found = created[table.name]
        parameters = {key: text(value) for key, value in found["Parameters"].items()}
        template, location = parameters["storage.location.template"], text(found["StorageDescriptor"]["Location"])
        assert location.endswith(f"/{table.prefix}")
        assert template == location + table.folder
        keys = [key["Name"] for key in found["PartitionKeys"]]
        assert re.findall(r"\$\{(\w+)\}", template) == keys
        for key in keys:
            assert parameters[f"projection.{key}.type"] in ("enum", "date")


def test_monitoring_keeps_no_data(deployment: Deployment) -> None:
    for resource_type in ("AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::SNS::Topic"):
        assert not resources(deployment.monitoring, resource_type)
