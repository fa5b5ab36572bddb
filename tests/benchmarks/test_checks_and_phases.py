"""Unequal contenders are refused, and the phases of a job are read from its event log."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks import report
from benchmarks.contenders import Round
from benchmarks.event_log import phases
from benchmarks.kpi_rows import UnequalResultsError

ROWS = [{"pk": "DAY#2024-06-25", "sk": "SUMMARY", "listens": "3"}]
FAILED = {"streams": {"rows": 5, "bad_listen_time": 1, "unknown_track": 2}}
WRITE = "Execute InsertIntoHadoopFsRelationCommand file:/lake"


def a_round(**changed: Any) -> Round:  # noqa: ANN401 - results of any contender
    rows = {report.FLOOR: ROWS, report.KPIS: changed.get("kpis", ROWS), report.TEXTBOOK: ROWS}
    failed = {
        report.VALIDATION: changed.get("validation", FAILED),
        report.SINGLE_PASS: FAILED,
        report.NAIVE_SUITE: {"streams": {"bad_listen_time": 1, "not_in_songs": 3}},
    }
    return Round({}, rows, failed)


def test_contenders_that_agree_pass() -> None:
    a_round().check()


def test_other_kpis_are_refused() -> None:
    with pytest.raises(UnequalResultsError, match="KPI job and DuckDB differ"):
        a_round(kpis=[{**ROWS[0], "listens": "4"}]).check()


def test_other_counts_of_a_rule_are_refused() -> None:
    with pytest.raises(UnequalResultsError, match="hand-written pass and validation job differ"):
        a_round(validation={"streams": {**FAILED["streams"], "unknown_track": 1}}).check()


def test_the_phases_of_a_job_add_up_to_its_process() -> None:
    sql = "org.apache.spark.sql.execution.ui.SparkListenerSQLExecution"
    events = [
        {"Event": "SparkListenerJobStart", "Submission Time": 105_000},
        {"Event": f"{sql}Start", "executionId": 1, "physicalPlanDescription": WRITE},
        {"Event": f"{sql}End", "executionId": 1, "time": 112_000},
        {"Event": f"{sql}Start", "executionId": 2, "physicalPlanDescription": "HashAggregate"},
        {"Event": f"{sql}End", "executionId": 2, "time": 115_000},
        {"Event": "SparkListenerJobEnd", "Completion Time": 115_000},
    ]
    found = phases(map(json.dumps, events), started=100.0, ended=119.0)
    assert found.as_dict() == {"start": 5.0, "lake": 7.0, "compute": 3.0, "rest": 4.0}
    assert found.without_dynamodb == 15.0
