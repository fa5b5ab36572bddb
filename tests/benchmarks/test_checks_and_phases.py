"""Unequal contenders are refused, and the phases of a job are read from its log."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import report
from benchmarks.contenders import Round
from benchmarks.job_log import PhaseNotLoggedError, phases
from benchmarks.kpi_rows import UnequalResultsError
from benchmarks.object_seconds import ObjectSeconds

ROWS = [{"pk": "DAY#2024-06-25", "sk": "SUMMARY", "listens": "3"}]
FAILED = {"streams": {"rows": 5, "bad_listen_time": 1, "unknown_track": 2}}
LOG = """\
Picked up JAVA_TOOL_OPTIONS
1970-01-01 00:01:45,000 INFO glue_scripts.session began compute_kpis
1970-01-01 00:01:50,000 INFO glue_scripts.session started Spark 3.5.6, 2 tasks at a time
1970-01-01 00:01:52,500 INFO glue_scripts.sql_engine computed 31 days, 4 of them have plays
1970-01-01 00:01:53,000 INFO glue_scripts.publication published 2024-06-25: version 1 of 1 runs
1970-01-01 00:01:55,125 INFO glue_scripts.sql_engine computed 9 days, 1 of them have plays
1970-01-01 00:01:56,000 INFO glue_scripts.publication published 2024-07-25: version 1 of 1 runs
"""


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


def test_the_headline_is_one_line() -> None:
    measured = {"ratios": {"validate + KPI / DuckDB": 2.849}, "size": {"plays": 10_000_000}}
    assert report.headline(measured) == "headline: validate + KPI / DuckDB = 2.85 at 10000000 plays"


def test_other_counts_of_a_rule_are_refused() -> None:
    with pytest.raises(UnequalResultsError, match="hand-written pass and validation job differ"):
        a_round(validation={"streams": {**FAILED["streams"], "unknown_track": 1}}).check()


def test_the_phases_of_a_job_add_up_to_its_process() -> None:
    found = phases(LOG.splitlines(), started=100.0, ended=119.0)
    assert found.as_dict() == {"start": 5.0, "compute": 10.125, "rest": 3.875}
    assert found.without_dynamodb == 15.125


def test_a_log_without_the_end_of_a_phase_is_refused() -> None:
    lines = [line for line in LOG.splitlines() if " began " not in line]
    with pytest.raises(PhaseNotLoggedError, match=r"no line of: glue_scripts\.session began"):
        phases(lines, started=100.0, ended=119.0)


def test_requests_for_objects_that_are_under_way_together_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 107.0, 200.0, 201.0])
    monkeypatch.setattr("benchmarks.object_seconds.time.monotonic", lambda: next(clock))
    measured = ObjectSeconds("music")
    app = measured.guard(lambda environ, start_response: [b"body"])
    first, second = (app({"PATH_INFO": "/music/a"}, start_response) for _ in range(2))
    assert next(iter(first)) == next(iter(second)) == b"body"
    assert list(first) == list(second) == []
    assert list(app({"PATH_INFO": "/"}, start_response)) == [b"body"]
    assert list(app({"PATH_INFO": "/music/b"}, start_response)) == [b"body"]
    assert measured.seconds == 8.0


def start_response(*_: object) -> Any:  # noqa: ANN401 - WSGI's write
    raise AssertionError("the application of the test does not answer")
