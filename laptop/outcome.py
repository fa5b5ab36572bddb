"""Whether a run ended as it should."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from laptop.pipeline import FINAL_FILE_STATUSES, SUCCEEDED, Answers, Uploaded


def problems(answers: Answers, files: Sequence[Uploaded], expected: Mapping[str, str]) -> Iterator[str]:
    """Everything that is not as it should be; nothing for a run that went well.

    Args:
        answers: what the pipeline tells at the end.
        files: every uploaded file.
        expected: ledger status by key of the files whose outcome is known in advance.

    Yields:
        One sentence per problem.
    """
    if not answers.executions:
        yield "No execution was started."
    failed = (execution for execution in answers.executions if execution["status"] != SUCCEEDED)
    yield from (f"Execution {execution['name']} is {execution['status']}." for execution in failed)
    for file in files:
        status = answers.file_statuses.get(file.ledger_key)
        if status not in FINAL_FILE_STATUSES:
            yield f"{file.key} was not processed to its end: the ledger says {status or 'nothing about it'}."
        elif status != expected.get(file.key, status):
            yield f"{file.key} is {status} and should be {expected[file.key]}."
    yield from (f"{key} is still where it was uploaded." for key in answers.left_in_raw)
    summarized = {row["date"] for row in answers.kpi_rows if row["sk"] == "SUMMARY"}
    yield from (f"{day} has accepted plays and no KPIs." for day in answers.days if day not in summarized)
