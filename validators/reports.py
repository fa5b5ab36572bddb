"""What people read about a judged file: its report, and the e-mail about a batch with rejected files.

Both say the same in the same words: which rule the file breaks, in which lines, and what to do. Values of personal
columns are masked.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from validators.printable import printable
from validators.results import RowCounts, RuleResult, tolerated_rows
from validators.rules import RULES_BY_ID, Rule, Severity
from validators.schemas import NULL

MAX_SUBJECT_CHARACTERS = 99
"""SNS takes subjects of less than 100 characters, ASCII, in one line (Amazon SNS API reference, Publish)."""
RUNBOOK_ENTRY = "files-rejected"
"""The anchor in docs/runbook.md."""
MAX_FILES_IN_EMAIL = 20
MAX_MESSAGE_BYTES = 48 * 1024
"""The message travels in the state machine's state, which holds 256 KiB at most, beside up to 100 files' entries."""
MAX_LISTED_KEY_BYTES = 150
"""Of a key in the list of the files that have no entry of their own. 100 of its lines take at most 24 KB."""
_LISTED_REASONS = 3
_ROOM_FOR_OTHERS = 120
"""The line above that list, in bytes."""
MAX_SAMPLES_IN_EMAIL = 3
MAX_VALUE_CHARACTERS = 80
_PERSONAL_COLUMNS = ("user_id", "user_name")
_SHOWN_OF_PERSONAL = 2
_CUT = "… ("
_LIKE_A_MOMENT_OR_NUMBER = re.compile(r"[\d\s.,:/+TZ-]*[.,:/-][\d\s.,:/+TZ-]*")


@dataclass(frozen=True)
class Sample:
    """One row that breaks a rule.

    Attributes:
        row: its number as a spreadsheet shows it: the header is row 1, blank lines count.
        line: the line of the file in which it begins; the first is 1.
        lines: how many lines it takes.
        value: the offending field, masked where it is personal; None where it is empty, and for a rule about the row.
        fields: how many fields a malformed row has; None for other rules.
        has_open_quote: whether a quote opens a field of a malformed row and is not closed where the field ends.
    """

    row: int
    line: int
    lines: int = 1
    value: str | None = None
    fields: int | None = None
    has_open_quote: bool = False


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
        columns: how many columns the header has; None where the rows were not judged.
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
    columns: int | None = None
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


@dataclass(frozen=True)
class RejectedFile:
    """A rejected file and where to find it.

    Attributes:
        file: the file.
        target_key: where it is moved to, or its own key where it stays because there is no copy of it; None where the
            version is gone.
        report_key: its report.
    """

    file: JudgedFile
    target_key: str | None
    report_key: str


@dataclass(frozen=True, kw_only=True)
class EmailSettings:
    """What an e-mail says of the place that it comes from.

    Attributes:
        environment: dev, staging or prod.
        bucket: the data bucket.
        error_days: how long error/ keeps a rejected file.
        runbook: the page of the runbook: an https URL, or its path in the repository.
    """

    environment: str
    bucket: str
    error_days: int
    runbook: str


def masked(column: str | None, start: str | None, characters: int | None = None) -> str | None:
    """Return a value as reports show it: shortened, and of personal columns only its beginning and its length.

    Args:
        column: the column that it stands in.
        start: the value, or its first MAX_VALUE_CHARACTERS; None where the field is empty.
        characters: how many characters the whole value has; None where `start` is the whole value.
    """
    if start is None:
        return None
    length = len(start) if characters is None else characters
    if length == len(start) and start.strip() in ("", NULL):
        return start
    shown = MAX_VALUE_CHARACTERS
    if column in _PERSONAL_COLUMNS:
        shown = _SHOWN_OF_PERSONAL if length > 2 * _SHOWN_OF_PERSONAL else 0
    return start if length <= shown else f"{start[:shown]}{_CUT}{length} characters)"


def file_report(file: JudgedFile, *, report_format: str, execution_arn: str) -> dict[str, Any]:
    """The report of one file, as JSON: the verdict in words, what the file is, and how it stands with each rule."""
    return {
        "format": report_format,
        "verdict": "rejected" if file.reasons else "accepted",
        "rejected_by": file.reasons,
        "in_words": in_words(file),
        "key": file.key,
        "version_id": file.version_id,
        "dataset": file.dataset,
        "size": file.size,
        "etag": file.etag,
        "last_modified": file.last_modified,
        "execution_arn": execution_arn,
        "rows": file.counts.rows if file.counts else None,
        "valid": file.counts.valid if file.counts else None,
        "quarantined": file.counts.quarantined if file.counts else None,
        "rules": [_problem_entry(*file.problem)] if file.problem else [_result_entry(file, r) for r in file.results],
        "quarantine": file.quarantine,
        "data_docs": file.data_docs,
    }


def in_words(file: JudgedFile, max_samples: int | None = None) -> list[str]:
    """What is wrong with a file, where, and what to do: lines of text, the rules that reject it first.

    Args:
        file: the judged file.
        max_samples: rows shown per rule; None shows all samples, and warnings too.
    """
    lines = []
    if file.counts and file.counts.rows:
        counts = file.counts
        lines = [f"{_count(counts.rows, 'row')}: {counts.valid} good, {counts.quarantined} breaking a rule."]
    return lines + _findings(file, max_samples)


def _findings(file: JudgedFile, max_samples: int | None) -> list[str]:
    if file.problem:
        rule_id, detail = file.problem
        return [f"Rejected by {rule_id}: {printable(detail)}.", *_advice(RULES_BY_ID[rule_id])]
    lines: list[str] = []
    rejecting = [result for result in file.results if not result.success]
    tolerated = [result for result in file.results if result.success and result.failed]
    for result in [*rejecting, *(result for result in tolerated if not _is_warning(result))]:
        lines += _result_in_words(file, result, max_samples)
    if max_samples is None:
        for result in filter(_is_warning, tolerated):
            lines += [f"Warning {result.rule.id}: {_count(result.failed, 'row')}.", *_advice(result.rule)]
    return lines


def rejection_email(
    files: Sequence[RejectedFile], *, settings: EmailSettings, accepted: int, execution_arn: str
) -> dict[str, str]:
    """The e-mail about a batch's rejected files.

    What to do stands above the files, so that it is on the first screen however many they are. It also reads well in
    the e-mail about an execution that failed later, which quotes it.

    Args:
        files: each rejected file.
        settings: of the environment.
        accepted: how many files of the batch were accepted.
        execution_arn: the execution that judged them.

    Returns:
        `subject` and `message`, plain text of at most MAX_MESSAGE_BYTES.
    """
    count = len(files)
    subject = f"[{settings.environment}] Music KPI pipeline: {count} file{'s' if count > 1 else ''} rejected"
    head = _email_head(files, count, accepted, settings, execution_arn)
    listed = [_listed(number, rejected.file) for number, rejected in enumerate(files, start=1)]
    entries = []
    room = MAX_MESSAGE_BYTES - len(head.encode()) - _ROOM_FOR_OTHERS - sum(len(line.encode()) + 1 for line in listed)
    for number, rejected in enumerate(files[:MAX_FILES_IN_EMAIL], start=1):
        entry = "\n".join(_email_entry(number, rejected, settings))
        room -= len(entry.encode()) + 2
        if room < 0:
            break
        entries.append(entry)
    others = listed[len(entries) :]
    if others:
        told = f"And {len(others)} more, each with the rules that reject it; their reports are beside them in error/."
        entries.append("\n".join([told, *others]))
    return {"subject": subject[:MAX_SUBJECT_CHARACTERS], "message": "\n\n".join([head, *entries])}


def _listed(number: int, file: JudgedFile) -> str:
    """A file in one line of bounded length: the whole key unless it is long, and the first rules that reject it."""
    key = printable(file.key)
    if len(key.encode()) > MAX_LISTED_KEY_BYTES:
        half = MAX_LISTED_KEY_BYTES // 2
        key = f"{_first_bytes(key, half)}…{_first_bytes(key[::-1], half)[::-1]}"
    reasons = file.reasons[:_LISTED_REASONS]
    return f"{number}. {key}: {', '.join(reasons)}{', …' if len(file.reasons) > len(reasons) else ''}"


def _first_bytes(text: str, count: int) -> str:
    """As many of the first characters as take at most `count` bytes in UTF-8."""
    return text.encode()[:count].decode(errors="ignore")


def console_url(execution_arn: str) -> str:
    """An execution's page in the Step Functions console."""
    region = execution_arn.split(":")[3]
    return f"https://{region}.console.aws.amazon.com/states/home?region={region}#/v2/executions/details/{execution_arn}"


def shell_quoted(text: str) -> str:
    """A word of a command, to be pasted into bash or zsh; it has one line whatever the text is."""
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + "".join(_shell_escaped(character) for character in text) + "'"


def _shell_escaped(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    # Octal and of fixed length: a digit may follow.
    return character if character.isprintable() else "".join(f"\\{byte:03o}" for byte in character.encode())


def _withdraw_advice(files: Sequence[RejectedFile], settings: EmailSettings) -> str:
    """What to do about plays of an earlier file: a corrected streams file adds to them, and does not replace them."""
    if not any(rejected.file.dataset == "streams" for rejected in files):
        return ""
    return f"""
                    If a file with wrong plays was accepted, a corrected file only adds plays. Withdraw the wrong one:
                    python -m operations withdraw --env {settings.environment} <key>"""


def _email_head(
    files: Sequence[RejectedFile], count: int, accepted: int, settings: EmailSettings, execution_arn: str
) -> str:
    advice = _withdraw_advice(files, settings)
    return f"""\
{_outcome(count, accepted)}
The pipeline works: this is about the data. No row of a rejected file is in the KPIs.

What to do:         have the sender correct each file as described below and upload it again.
                    If a file is right and a rule is not, see the runbook; "Replay" below tries the file again.{advice}
If you do nothing:  the KPIs go on without these files. error/ keeps them {settings.error_days} days.
Runbook:            {settings.runbook}#{RUNBOOK_ENTRY}
Execution:          {console_url(execution_arn)}"""


def _outcome(rejected: int, accepted: int) -> str:
    if not accepted:
        return (
            "The only file of a batch was rejected."
            if rejected == 1
            else f"All {rejected} files of a batch were rejected."
        )
    were = "was" if rejected == 1 else "were"
    others = "the other one was" if accepted == 1 else f"the other {accepted} were"
    return f"{rejected} of {rejected + accepted} files of a batch {were} rejected; {others} accepted."


def _email_entry(number: int, rejected: RejectedFile, settings: EmailSettings) -> list[str]:
    file = rejected.file
    uploaded = f"uploaded {file.last_modified}, " if file.last_modified else ""
    about = [("Version", f"{file.version_id}, {uploaded}{_count(file.size, 'byte')}")]
    if file.counts:
        counts = file.counts
        about.append(("Rows", f"{counts.rows} in, {counts.valid} valid, {counts.quarantined} quarantined"))
    folder = f"s3://{settings.bucket}/"
    where = [("Report", f"{folder}{rejected.report_key}")]
    if file.quarantine:
        where.append(("Bad rows", file.quarantine))
    if file.data_docs:
        where.append(("Data Docs", file.data_docs))
    if rejected.target_key == file.key:
        where.insert(0, ("Now at", f"{folder}{printable(file.key)}, where it was uploaded: the pipeline has no copy"))
    elif rejected.target_key:
        where.insert(0, ("Now at", f"{folder}{printable(rejected.target_key)}"))
        if file.dataset is not None:  # without one, the key itself is wrong, and a replay keeps it
            command = f"python -m operations replay --env {settings.environment} {shell_quoted(file.key)}"
            where.append(("Replay", command))
    else:
        where.insert(0, ("Now at", "nowhere: it was deleted before it could be read"))
    return [
        f"{number}. {printable(file.key)}",
        *_aligned(about),
        *(f"   {line}" for line in _findings(file, MAX_SAMPLES_IN_EMAIL)),
        *_aligned(where),
    ]


def _aligned(lines: Sequence[tuple[str, str]]) -> list[str]:
    return [f"   {name + ':':<11}{text}" for name, text in lines]


def _result_in_words(file: JudgedFile, result: RuleResult, max_samples: int | None) -> list[str]:
    rule = result.rule
    about = f"{rule.id} (column {rule.column})" if rule.column else rule.id
    if rule.severity is Severity.REJECT_FILE:
        return [f"Rejected by {about}: {result.detail}.", *_advice(rule)]
    rows = file.counts.rows if file.counts else 0
    limit = tolerated_rows(rule.tolerance, rows)
    share = f"{result.failed} of {_count(rows, 'row')} ({_percent(result.failed / rows)})"
    verdict = "Left out, though tolerated," if result.success else "Rejected"
    may = f"up to {limit} ({_percent(rule.tolerance)}) may"
    lines = [f"{verdict} by {about}: {share} break{'s' * (result.failed == 1)} it, {may}.", *_advice(rule)]
    samples = file.samples.get(rule.id, [])
    shown = samples if max_samples is None else samples[:max_samples]
    finding = _finding if max_samples is None else _emailed_finding
    lines += [f"    {_place(sample)}: {finding(file, rule, sample)}" for sample in shown]
    if shown and result.failed > sum(sample.lines for sample in shown):
        lines.append("    … and more.")
    return lines


def _place(sample: Sample) -> str:
    lines = f"line {sample.line}" if sample.lines == 1 else f"lines {sample.line} to {sample.line + sample.lines - 1}"
    return lines if sample.row == sample.line else f"{lines} (row {sample.row} of a spreadsheet)"


def _finding(file: JudgedFile, rule: Rule, sample: Sample) -> str:
    if sample.fields is not None:
        found = f"{sample.fields} field{'s' if sample.fields != 1 else ''}, the header has {file.columns}"
    elif rule.column is None:
        found = f"not the {file.columns} fields of the header"
    elif not sample.value:
        found = f"{rule.column} is empty"
    elif sample.value.strip() == NULL:
        found = f"{rule.column} is {NULL}, which stands for a missing value"
    elif not sample.value.strip():
        found = f"{rule.column} is blank: {sample.value!r}"
    else:
        found = repr(sample.value)
    if sample.has_open_quote:
        return f"{found}; a quote opens a field and is not closed where the field ends"
    return found if sample.lines == 1 else f"{found}; is a quote opened in it that is not closed?"


def _emailed_finding(file: JudgedFile, rule: Rule, sample: Sample) -> str:
    """A finding outside of the bucket: where columns are swapped, a user's id stands in any column."""
    value, cut, length = (sample.value or "").partition(_CUT)
    is_shown = not value.strip() or _LIKE_A_MOMENT_OR_NUMBER.fullmatch(value)
    if rule.column not in _PERSONAL_COLUMNS and not is_shown:
        shape = "".join("x" if one.isalpha() else "9" if one.isdigit() else one for one in value)
        return "like " + _finding(file, rule, replace(sample, value=shape + cut + length))
    return _finding(file, rule, sample)


def _advice(rule: Rule) -> list[str]:
    return [f"  What must hold: {rule.meaning}", f"  What to do: {rule.fix}"]


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count != 1 else ''}"


def _percent(share: float) -> str:
    """Two decimals, so that what exceeds a tolerance of whole per cents does not look like it."""
    return f"{100 * share:.2f} %"


def _is_warning(result: RuleResult) -> bool:
    return result.rule.severity is Severity.WARN


def _result_entry(file: JudgedFile, result: RuleResult) -> dict[str, Any]:
    rows = file.counts.rows if file.counts else 0
    rule = result.rule
    is_row_rule = rule.severity is Severity.QUARANTINE_ROW
    return {
        **_rule_entry(rule, success=result.success, detail=result.detail),
        "failed": result.failed,
        "percent": round(100 * result.failed / rows, 4) if rows else 0.0,
        "tolerated_percent": 100 * rule.tolerance if is_row_rule else None,
        "tolerated_rows": tolerated_rows(rule.tolerance, rows) if is_row_rule else None,
        "samples": [
            {
                "line": sample.line,
                "row": sample.row,
                "value": sample.value,
                "finding": _finding(file, rule, sample),
            }
            for sample in file.samples.get(rule.id, [])
        ],
    }


def _problem_entry(rule_id: str, detail: str) -> dict[str, Any]:
    return _rule_entry(RULES_BY_ID[rule_id], success=False, detail=detail)


def _rule_entry(rule: Rule, *, success: bool, detail: str) -> dict[str, Any]:
    return {
        "rule": rule.id,
        "severity": rule.severity,
        "column": rule.column,
        "meaning": rule.meaning,
        "fix": rule.fix,
        "success": success,
        "detail": detail or None,
    }
