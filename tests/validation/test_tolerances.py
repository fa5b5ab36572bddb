"""Every row rule at its two edges: the last good and the first bad value, the last tolerated and the first bad row."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.validation.bad_inputs import SONGS_HEADER, STREAMS_HEADER, USERS_HEADER
from tests.validation.judging import broken, judge, rejected_by
from validators.expectations import SuiteResult
from validators.results import tolerated_rows
from validators.rules import RULES, Severity

ROWS = 200
TOLERATED = 2
HEADERS = {"streams": STREAMS_HEADER, "songs": SONGS_HEADER, "users": USERS_HEADER}
TIME = "2024-06-25 10:00:00"

# The files are uploaded at 2024-06-26 00:00:00 UTC.
EDGES = {
    ("streams", "malformed_row"): (f"u,t,{TIME}", f"u,t,{TIME},"),
    ("songs", "malformed_row"): ("t,a,b,c,pop,1,1,true", "t,a,b,c,pop,1,1"),
    ("users", "malformed_row"): ("u,a,30,NL,2024-01-01", "u,a,30,NL"),
    ("streams", "null_user_id"): (f" u ,t,{TIME}", f" ,t,{TIME}"),
    ("users", "null_user_id"): ("0,a,30,NL,2024-01-01", '"",a,30,NL,2024-01-01'),
    ("streams", "long_user_id"): (f" {'é' * 100} ,t,{TIME}", f"{'é' * 100}a,t,{TIME}"),
    ("users", "long_user_id"): ("u" * 200 + ",a,30,NL,2024-01-01", "u" * 201 + ",a,30,NL,2024-01-01"),
    ("streams", "null_track_id"): (f"u,-,{TIME}", f"u,,{TIME}"),
    ("songs", "null_track_id"): ("-,a,b,c,pop,1,1,true", "\t,a,b,c,pop,1,1,true"),
    ("streams", "long_track_id"): (f"u,{'t' * 200},{TIME}", f"u,{'t' * 201},{TIME}"),
    ("songs", "long_track_id"): (f"{'🎵' * 50},a,b,c,pop,1,1,true", f"{'🎵' * 50}t,a,b,c,pop,1,1,true"),
    ("streams", "bad_listen_time"): ("u,t,2024-02-29T23:59:59.9-18:00", "u,t,2023-02-29T23:59:59.9-18:00"),
    ("streams", "future_listen_time"): ("u,t,2024-06-27 02:00:00.9+02:00", "u,t,2024-06-27 00:00:01"),
    ("streams", "early_listen_time"): ("u,t,2000-01-01 00:00:00", "u,t,2000-01-01 00:00:00+00:01"),
    ("songs", "null_track_genre"): ("t,a,b,c,-,1,1,true", "t,a,b,c,,1,1,true"),
    ("songs", "long_track_genre"): (f"t,a,b,c,{'g' * 200},1,1,true", f"t,a,b,c,{'g' * 201},1,1,true"),
    ("songs", "bad_duration_ms"): ("t,a,b,c,pop,2147483647.0,1,true", "t,a,b,c,pop,2147483648,1,true"),
    ("songs", "bad_popularity"): ("t,a,b,c,pop,0,-1.00,true", "t,a,b,c,pop,0,1.01,true"),
    ("songs", "bad_explicit"): ("t,a,b,c,pop,1,1, yEs ", "t,a,b,c,pop,1,1,2"),
    ("users", "bad_user_age"): ("u,a,+030,NL,2024-01-01", "u,a,30 years,NL,2024-01-01"),
    ("users", "long_user_country"): (f"u,a,30,{'c' * 64},2024-01-01", f"u,a,30,{'c' * 65},2024-01-01"),
    ("users", "bad_created_at"): ("u,a,30,NL,1999-12-31", "u,a,30,NL,1999-02-29"),
}
"""By dataset and rule: a row that barely follows the rule, and one that barely breaks it."""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SuiteResult]:
    """By dataset, the verdict on a file with as many bad rows as are tolerated and one with one more, for each rule."""
    folder = tmp_path_factory.mktemp("edges")
    return {dataset: judge(folder, files_at_the_edges(dataset), dataset) for dataset in HEADERS}


def files_at_the_edges(dataset: str) -> dict[str, str]:
    return {
        f"{rule_id}-{bad}": HEADERS[dataset] + f"{edges[0]}\n" * (ROWS - bad) + f"{edges[1]}\n" * bad
        for (of, rule_id), edges in EDGES.items()
        if of == dataset
        for bad in (TOLERATED, TOLERATED + 1)
    }


def test_the_edges_of_every_row_rule_are_told() -> None:
    row_rules = [rule for rule in RULES if rule.severity is Severity.QUARANTINE_ROW]
    assert set(EDGES) == {(dataset, rule.id) for rule in row_rules for dataset in rule.datasets}
    assert {tolerated_rows(rule.tolerance, ROWS) for rule in row_rules} == {TOLERATED}


@pytest.mark.parametrize(("dataset", "rule_id"), EDGES)
def test_a_rule_holds_up_to_its_edges(results: dict[str, SuiteResult], dataset: str, rule_id: str) -> None:
    result = results[dataset]
    for bad, rejecting in ((TOLERATED, []), (TOLERATED + 1, [rule_id])):
        file = f"{rule_id}-{bad}"
        assert rejected_by(result, file) == rejecting
        assert {rule: rows for rule, rows in broken(result, file).items() if rule != "duplicate_rows"} == {rule_id: bad}
        assert (result.counts[file].rows, result.counts[file].quarantined) == (ROWS, bad)


def test_a_tolerance_of_the_environment_holds_to_the_row(tmp_path: Path) -> None:
    """0.29 * 100 is less than 29 in floating point."""
    files = {f"{bad}": STREAMS_HEADER + f"u,t,{TIME}\n" * (100 - bad) + "u,t,noon\n" * bad for bad in (29, 30)}
    result = judge(tmp_path, files, tolerances={"bad_listen_time": 0.29})
    assert [rejected_by(result, file) for file in files] == [[], ["bad_listen_time"]]


@pytest.mark.parametrize(("tolerance", "rows", "tolerated"), [(0.01, 99, 0), (0.01, 100, 1), (0.0, 9, 0), (1.0, 9, 9)])
def test_a_tolerance_is_rounded_down_to_rows(tolerance: float, rows: int, tolerated: int) -> None:
    assert tolerated_rows(tolerance, rows) == tolerated
