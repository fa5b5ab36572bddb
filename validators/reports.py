"""What people read about a judged file: its report, and the e-mail about a batch with rejected files.

Values of user ids are masked: they are personal data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from validators.results import RowCounts, RuleResult
from validators.rules import RULES_BY_ID, Severity

MAX_SUBJECT_CHARACTERS = 99
"""SNS takes subjects of less than 100 characters, ASCII, in one line (Amazon SNS API reference, Publish)."""
MAX_FILES_IN_EMAIL = 20
MAX_SAMPLES_IN_EMAIL = 3
MAX_VALUE_CHARACTERS = 80
_PERSONAL_COLUMNS = ("user_id", "user_name")


@dataclass(frozen=True)
class Sample:
    """One row that breaks a rule.

    Attributes:
        row: its number as a spreadsheet shows it: the header is row 1.
        value: the offending field, masked where it is personal; None for a rule about the whole row.
    """

    row: int
    value: str | None


@dataclass(frozen=True, kw_only=True)
class JudgedFile:
    """A file with its verdict.

    Attributes:
        key: the object key.
        version_id: the object version.
        dataset: users, songs or streams; None where the key names none.
        size: bytes of the object.
        etag: of the object.
        last_modified: when the version was uploaded, ISO 8601; None where it is gone.
        problem: the file rule that the bytes break, and the detail; None where the rows were judged.
        counts: rows; None where they were not judged.
        results: one per rule; empty where the rows were not judged.
        samples: by rule id, the first rows that break it.
        quarantine: where the rows are that break a rule; None where there are none.
        data_docs: Great Expectations' page of the batch; None where the rows were not judged.
    """

    key: str
    version_id: str
    dataset: str | None
    size: int
    etag: str
    last_modified: str | None
    problem: tuple[str, str] | None = None
    counts: RowCounts | None = None
    results: Sequence[RuleResult] = ()
    samples: Mapping[str, Sequence[Sample]] = field(default_factory=dict)
    quarantine: str | None = None
    data_docs: str | None = None

    @property
    def reasons(self) -> list[str]:
        """The ids of the rules that reject the file; none where it is accepted."""
        if self.problem:
            return [self.problem[0]]
        return [result.rule.id for result in self.results if not result.success]


def masked(column: str | None, value: str | None) -> str | None:
    """A value as reports show it: shortened, and of personal columns only its first two characters and its length."""
    if value is None:
        return None
    if column in _PERSONAL_COLUMNS:
        return f"{value[:2]}… ({len(value)} characters)"
    return value if len(value) <= MAX_VALUE_CHARACTERS else f"{value[:MAX_VALUE_CHARACTERS]}… ({len(value)} characters)"


def file_report(file: JudgedFile, *, report_format: str, execution_arn: str) -> dict[str, Any]:
    """The report of one file, as JSON: what it is, the verdict, and how it stands with each rule."""
    return {
        "format": report_format,
        "execution_arn": execution_arn,
        "key": file.key,
        "version_id": file.version_id,
        "dataset": file.dataset,
        "size": file.size,
        "etag": file.etag,
        "last_modified": file.last_modified,
        "verdict": "rejected" if file.reasons else "accepted",
        "rejected_by": file.reasons,
        "rows": file.counts.rows if file.counts else None,
        "valid": file.counts.valid if file.counts else None,
        "quarantined": file.counts.quarantined if file.counts else None,
        "rules": [_problem_entry(*file.problem)] if file.problem else [_result_entry(file, r) for r in file.results],
        "quarantine": file.quarantine,
        "data_docs": file.data_docs,
    }


def rejection_email(
    files: Sequence[tuple[JudgedFile, str, str]], *, environment: str, bucket: str, accepted: int, execution_arn: str
) -> dict[str, str]:
    """The e-mail about a batch's rejected files.

    Args:
        files: each rejected file, where it is moved to, and its report's key.
        environment: dev, staging or prod.
        bucket: the data bucket.
        accepted: how many files of the batch were accepted.
        execution_arn: the execution that judged them.

    Returns:
        `subject` and `message`, plain text.
    """
    count = len(files)
    subject = f"[{environment}] Music KPI pipeline: {count} file{'s' if count > 1 else ''} rejected"
    lines = [
        f"{count} file(s) of this batch were rejected and moved to error/; {accepted} were accepted and went through.",
        "The pipeline works: this is about the data. Correct the files and upload them again.",
    ]
    for file, target_key, report_key in files[:MAX_FILES_IN_EMAIL]:
        lines += ["", *_email_entry(file, bucket, target_key, report_key)]
    if count > MAX_FILES_IN_EMAIL:
        lines += ["", f"and {count - MAX_FILES_IN_EMAIL} more: see the output of the execution."]
    lines += ["", f"Execution: {execution_arn}"]
    return {"subject": subject[:MAX_SUBJECT_CHARACTERS], "message": "\n".join(lines)}


def _email_entry(file: JudgedFile, bucket: str, target_key: str, report_key: str) -> list[str]:
    lines = [f"{file.key} (version {file.version_id})"]
    if file.counts:
        lines.append(
            f"  rows: {file.counts.rows}, valid: {file.counts.valid}, breaking a rule: {file.counts.quarantined}"
        )
    if file.problem:
        rule = RULES_BY_ID[file.problem[0]]
        lines += [f"  {rule.id}: {file.problem[1]}", f"    What must hold: {rule.meaning} {rule.fix}"]
    for result in file.results:
        if not result.success:
            lines += _email_rule(result, file)
    return [*lines, f"  Now at: s3://{bucket}/{target_key}", f"  Report: s3://{bucket}/{report_key}"]


def _email_rule(result: RuleResult, file: JudgedFile) -> list[str]:
    rule = result.rule
    share = ""
    if rule.severity is Severity.QUARANTINE_ROW and file.counts:
        share = f" {result.failed} of {file.counts.rows} rows ({result.failed / file.counts.rows:.2%})"
        share += f" break it, {rule.tolerance:.2%} may."
    lines = [f"  {rule.id}:{share}", f"    What must hold: {rule.meaning} {rule.fix}"]
    for sample in file.samples.get(rule.id, [])[:MAX_SAMPLES_IN_EMAIL]:
        lines.append(f"    row {sample.row}" + (f": {sample.value!r}" if sample.value is not None else ""))
    return lines


def _result_entry(file: JudgedFile, result: RuleResult) -> dict[str, Any]:
    rows = file.counts.rows if file.counts else 0
    rule = result.rule
    return {
        "rule": rule.id,
        "severity": rule.severity,
        "column": rule.column,
        "meaning": rule.meaning,
        "fix": rule.fix,
        "success": result.success,
        "failed": result.failed,
        "percent": round(100 * result.failed / rows, 4) if rows else 0.0,
        "tolerated_percent": 100 * rule.tolerance if rule.severity is Severity.QUARANTINE_ROW else None,
        "samples": [{"row": sample.row, "value": sample.value} for sample in file.samples.get(rule.id, [])],
    }


def _problem_entry(rule_id: str, detail: str) -> dict[str, Any]:
    rule = RULES_BY_ID[rule_id]
    return {
        "rule": rule.id,
        "severity": rule.severity,
        "column": rule.column,
        "meaning": rule.meaning,
        "fix": rule.fix,
        "success": False,
        "detail": detail,
    }
