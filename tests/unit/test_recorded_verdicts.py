"""The verdict that the ledger's attributes make again is the one that they were made of, whatever a later run says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from glue_scripts.ledger import FileStatus
from glue_scripts.recorded_verdicts import as_recorded, attributes_of
from tests.unit.conftest import Tables
from validators.reports import JudgedFile, Sample, file_report
from validators.results import RowCounts, RuleResult
from validators.rules import RULES_BY_ID

SHRUNK: Final = RULES_BY_ID["snapshot_shrunk"]
BAD_TIME: Final = RULES_BY_ID["bad_created_at"]
DUPLICATES: Final = RULES_BY_ID["duplicate_rows"]
ARN: Final = "arn:aws:states:us-east-1:123456789012:execution:pipeline:one"


def judged(**attributes: Any) -> JudgedFile:  # noqa: ANN401 - of JudgedFile
    return JudgedFile(
        key="raw/users/a.csv",
        version_id="v1",
        dataset="users",
        size=10,
        etag="e",
        last_modified="2024-06-26T00:00:00Z",
        **attributes,
    )


def of_rows(*results: RuleResult) -> JudgedFile:
    return judged(
        columns=5,
        counts=RowCounts(100, 60, 40),
        results=results,
        samples={BAD_TIME.id: [Sample(row=2, line=2, value="no")]},
        quarantine="s3://bucket/q/",
        data_docs="s3://bucket/d.html",
    )


ACCEPTED: Final = of_rows(
    RuleResult(rule=SHRUNK, failed=0, success=True),
    RuleResult(rule=replace(BAD_TIME, tolerance=0.5), failed=40, success=True),
    RuleResult(rule=DUPLICATES, failed=3, success=True),
)
REJECTED: Final = of_rows(
    RuleResult(rule=SHRUNK, failed=1, success=False, detail="60 good rows, where at least 100 are needed"),
    RuleResult(rule=BAD_TIME, failed=40, success=False),
    RuleResult(rule=DUPLICATES, failed=3, success=True),
)
UNREADABLE: Final = judged(problem=("not_utf8", "line 3 holds the byte 0xFF"))


@pytest.mark.parametrize("recorded", [ACCEPTED, REJECTED, UNREADABLE], ids=["accepted", "rejected", "unreadable"])
@pytest.mark.parametrize("later", [ACCEPTED, REJECTED, UNREADABLE], ids=["accepted", "rejected", "unreadable"])
def test_the_report_is_of_the_recorded_verdict(tables: Tables, recorded: JudgedFile, later: JudgedFile) -> None:
    file = (recorded.key, recorded.version_id)
    tables.ledger.receive_file(*file, {"execution": ARN})
    status = FileStatus.REJECTED if recorded.reasons else FileStatus.ACCEPTED
    tables.ledger.record_verdict(*file, status, ARN, attributes_of(recorded))
    again = tables.ledger.record_verdict(*file, FileStatus.REJECTED, ARN, attributes_of(later)).attributes

    report = file_report(as_recorded(later, again), report_format="f", execution_arn=ARN)

    expected = file_report(recorded, report_format="f", execution_arn=ARN)
    told = ("verdict", "rejected_by", "rows", "valid", "quarantined")
    assert {name: report[name] for name in told} == {name: expected[name] for name in told}
    assert _rules(report) == {rule: found for rule, found in _rules(expected).items() if rule in _rules(report)}
    missing = _rules(expected).keys() - _rules(report).keys()
    assert not [rule for rule in missing if _rules(expected)[rule] != (True, 0, "None")], (
        "only rules that nothing breaks"
    )


def _rules(report: dict[str, Any]) -> dict[str, tuple[bool, int, str]]:
    return {rule["rule"]: (rule["success"], rule.get("failed", 1), str(rule["detail"])) for rule in report["rules"]}
