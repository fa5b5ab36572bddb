"""What is measured arrives in CloudWatch; what does not arrive is neither hidden nor fatal to work that is done."""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import boto3
import pytest

from glue_scripts import names
from glue_scripts.ledger import FileStatus
from glue_scripts.metrics import Metrics, MetricsNotPutError, metered, metrics_client
from glue_scripts.names import Metric
from lambdas.pipeline_health.handler import handler, measured
from tests.cloudwatch import Series, put_series, statistics
from tests.emitting import UPLOADED, emit_as_the_jobs
from tests.unit.conftest import Tables

_numbers = itertools.count(1)


@dataclass(frozen=True)
class CloudWatch:
    """moto's CloudWatch, as a test uses it: in an environment of its own."""

    client: Any
    environment: str

    def put(self, metric: Metric, of: str | None = None) -> dict[str, float]:
        """Statistics of what was put."""
        dimensions = metric.dimensions(self.environment, of)
        pairs = [{"Name": name, "Value": value} for name, value in dimensions.items()]
        return statistics(self.client, metric.name, pairs, metric.unit)

    def series(self) -> set[Series]:
        """Every series of the environment."""
        return put_series(self.client, self.environment)


@pytest.fixture
def cloudwatch(dynamodb_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> CloudWatch:
    for name, value in {
        "AWS_ENDPOINT_URL": dynamodb_endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }.items():
        monkeypatch.setenv(name, value)
    return CloudWatch(boto3.client("cloudwatch"), f"test-{next(_numbers)}")


def of_the_function(cloudwatch: CloudWatch, tables: Tables) -> dict[str, str]:
    """The variables of the function that measures; its bucket is made."""
    boto3.client("s3").create_bucket(Bucket="data")
    return {"DATA_BUCKET": "data", "LEDGER_TABLE": tables.ledger_table.name, "ENVIRONMENT": cloudwatch.environment}


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> Metrics:
    """Metrics that nobody takes: port 9 answers nothing."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    metrics = Metrics(metrics_client(), "test")
    metrics.measure(names.FILES_ACCEPTED, 1)
    return metrics


def test_everything_that_is_declared_is_put_and_nothing_else(
    cloudwatch: CloudWatch, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    emit_as_the_jobs(cloudwatch.environment)
    for name, value in of_the_function(cloudwatch, tables).items():
        monkeypatch.setenv(name, value)
    handler({}, None)
    found = {(one.name, one.unit, frozenset(name for name, _ in one.dimensions)) for one in cloudwatch.series()}
    assert found == {
        (metric.name, metric.unit, frozenset(metric.dimensions("any", metric.dimension))) for metric in names.METRICS
    }


def test_files_and_rows_are_counted_by_their_verdicts(cloudwatch: CloudWatch) -> None:
    emit_as_the_jobs(cloudwatch.environment)
    sums = {
        metric: cloudwatch.put(metric)["Sum"]
        for metric in names.METRICS
        if metric.unit == "Count"
        and metric.dimension is None
        and not metric.name.startswith(("Unpublished", "Forgotten"))
    }
    assert sums == {
        names.FILES_ACCEPTED: 2,
        names.FILES_REJECTED: 2,
        names.ROWS_IN: 400,
        names.ROWS_VALID: 100 + 199 + 50,
        names.ROWS_QUARANTINED: 1 + 50,
        names.ROWS_REJECTED: 1 + 100,
    }


def test_a_rule_is_measured_in_per_cent_of_each_files_rows(cloudwatch: CloudWatch) -> None:
    emit_as_the_jobs(cloudwatch.environment)
    bad_time = cloudwatch.put(names.RULE_VALID_PERCENT, "bad_listen_time")
    assert (bad_time["Minimum"], bad_time["Maximum"], bad_time["SampleCount"]) == (50, 100, 3)
    assert bad_time["Sum"] == pytest.approx(50 + 99.5 + 100)
    assert cloudwatch.put(names.RULE_VALID_PERCENT, "unknown_track")["Minimum"] == 75
    assert cloudwatch.put(names.RULE_VALID_PERCENT, "no_rows") == {}, "a file rule has no share of rows"


def test_why_files_are_rejected_is_counted_by_rule(cloudwatch: CloudWatch) -> None:
    emit_as_the_jobs(cloudwatch.environment)
    assert cloudwatch.put(names.FILES_REJECTED_BY_RULE, "bad_listen_time")["Sum"] == 1
    assert cloudwatch.put(names.FILES_REJECTED_BY_RULE, "unreadable")["Sum"] == 1


def test_freshness_is_from_upload_to_kpis_for_each_file(cloudwatch: CloudWatch) -> None:
    emit_as_the_jobs(cloudwatch.environment)
    fresh = cloudwatch.put(names.FRESHNESS)
    assert (fresh["Minimum"], fresh["Maximum"], fresh["SampleCount"]) == (300, 600, 2)


def test_a_run_costs_its_time_times_its_units_even_if_it_fails(cloudwatch: CloudWatch) -> None:
    metrics = Metrics(cloudwatch.client, cloudwatch.environment)
    with pytest.raises(ZeroDivisionError), metered(metrics, job=names.COMPUTE_KPIS, dpus=1e9):
        metrics.measure(names.FILES_ACCEPTED, 1 / 0)
    assert cloudwatch.put(names.DPU_SECONDS, names.COMPUTE_KPIS)["Sum"] > 1


class Recorder:
    """Takes what CloudWatch is given; moto would be slow with so many data for the rest of its life."""

    def __init__(self) -> None:
        self.requests: list[list[Any]] = []

    def put_metric_data(self, *, Namespace: str, MetricData: list[Any]) -> None:  # noqa: N803 - as boto3
        assert Namespace == names.METRIC_NAMESPACE
        self.requests.append(MetricData)


def test_many_values_go_in_as_few_requests_as_cloudwatch_allows() -> None:
    recorder = Recorder()
    metrics = Metrics(recorder, "test")  # type: ignore[arg-type]
    for value in range(6001):
        metrics.measure(names.FRESHNESS, value)
        metrics.measure(names.RULE_VALID_PERCENT, 100, of=f"rule-{value % 1100}")
    metrics.put()
    assert len(recorder.requests) == 3
    data = [datum for request in recorder.requests for datum in request]
    assert all(len(request) <= 1000 for request in recorder.requests)
    assert all(len(datum["Values"]) <= 150 for datum in data)
    fresh = [datum for datum in data if datum["MetricName"] == names.FRESHNESS.name]
    assert sum(sum(datum["Counts"]) for datum in fresh) == 6001
    assert sum(map(sum, (datum["Values"] for datum in fresh))) == sum(range(6001))


def test_what_was_put_is_not_put_again(cloudwatch: CloudWatch) -> None:
    metrics = Metrics(cloudwatch.client, cloudwatch.environment)
    metrics.measure(names.FILES_ACCEPTED, 1)
    metrics.put()
    metrics.put()
    assert cloudwatch.put(names.FILES_ACCEPTED)["Sum"] == 1


def test_a_cloudwatch_that_is_not_there_is_an_error_of_its_own(unreachable: Metrics) -> None:
    with pytest.raises(MetricsNotPutError, match="did not take 1 metrics"):
        unreachable.put()


def test_a_cloudwatch_that_is_not_there_fails_no_job_but_stands_in_its_log(
    unreachable: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), metered(unreachable, job=names.VALIDATE_BATCH, dpus=2):
        pass
    assert "MetricsNotPutError: CloudWatch did not take 2 metrics" in caplog.text


def test_a_warning_about_metrics_tells_nothing_of_the_error_that_a_job_ends_with(
    unreachable: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(KeyError), metered(unreachable, job=names.VALIDATE_BATCH, dpus=2):
        raise KeyError("a user's id")
    assert "MetricsNotPutError" in caplog.text
    assert "a user's id" not in caplog.text


@pytest.mark.parametrize(("metric", "of"), [(names.FRESHNESS, "streams"), (names.DPU_SECONDS, None)])
def test_a_metric_has_exactly_the_dimensions_that_are_declared(metric: Metric, of: str | None) -> None:
    with pytest.raises(ValueError, match=f"{metric.name} has the dimension {metric.dimension}"):
        metric.dimensions("dev", of)


class TestPipelineHealth:
    """The function that measures what does not arrive."""

    @pytest.fixture(autouse=True)
    def variables(self, cloudwatch: CloudWatch, tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in of_the_function(cloudwatch, tables).items():
            monkeypatch.setenv(name, value)

    def test_without_files_nothing_is_late(self, cloudwatch: CloudWatch) -> None:
        nothing = {"OldestUnpublishedFile": 0, "UnpublishedFiles": 0, "UnpublishedDays": 0, "ForgottenFiles": 0}
        assert handler({}, None) == nothing
        assert cloudwatch.put(names.OLDEST_UNPUBLISHED)["Maximum"] == 0

    def test_the_oldest_file_that_is_not_in_the_kpis_counts(self, cloudwatch: CloudWatch, tables: Tables) -> None:
        old = f"{UPLOADED:%Y-%m-%dT%H:%M:%SZ}"
        older = f"{UPLOADED - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
        oldest = f"{UPLOADED - timedelta(days=9):%Y-%m-%dT%H:%M:%SZ}"
        ledger = tables.ledger
        for key, uploaded, statuses in [
            ("received", old, []),
            ("accepted", older, [FileStatus.ACCEPTED]),
            ("loaded", oldest, [FileStatus.ACCEPTED, FileStatus.LOADED]),
            ("rejected", oldest, [FileStatus.REJECTED]),
            ("skipped", oldest, [FileStatus.SKIPPED]),
        ]:
            ledger.receive_file(key, "v1", {"uploaded_at": uploaded, "execution": "one"})
            for status in statuses:
                ledger.advance_file(key, "v1", status, {})
        for date in ("2024-06-25", "2024-06-26"):
            ledger.claim_day(date)
        ledger.note_published("2024-06-25", 1)

        assert measured(ledger, UPLOADED + timedelta(hours=1)) == {
            names.OLDEST_UNPUBLISHED: 25 * 3600,
            names.UNPUBLISHED_FILES: 2,
            names.UNPUBLISHED_DAYS: 1,
        }
        handler({}, None)
        assert cloudwatch.put(names.UNPUBLISHED_FILES)["Maximum"] == 2

    def test_files_that_nobody_knows_of_are_counted_after_an_hour(
        self, cloudwatch: CloudWatch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        boto3.client("s3").put_object(Bucket="data", Key="raw/streams/a.csv", Body=b"user_id,track_id,listen_time\n")
        assert handler({}, None)["ForgottenFiles"] == 0

        monkeypatch.setattr("lambdas.pipeline_health.handler.FORGOTTEN_AFTER", timedelta(minutes=-1))

        assert handler({}, None)["ForgottenFiles"] == 1
        assert cloudwatch.put(names.FORGOTTEN_FILES)["Maximum"] == 1

    def test_a_cloudwatch_that_is_not_there_fails_the_function_whose_only_work_it_is(
        self, tables: Tables, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH", "http://127.0.0.1:9")
        with pytest.raises(MetricsNotPutError):
            handler({}, None)
