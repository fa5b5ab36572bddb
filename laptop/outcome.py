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
    statuses = {file.key: answers.file_statuses.get(file.ledger_key) for file in files}
    finished = {key: status for key, status in statuses.items() if status in FINAL_FILE_STATUSES}
    if unfinished := sorted(statuses.keys() - finished.keys()):
        yield f"{len(unfinished)} of {len(files)} files were not processed to their end: {', '.join(unfinished)}."
    for key, status in finished.items():
        if status != expected.get(key, status):
            yield f"{key} is {status} and should be {expected[key]}."
        if key in answers.left_in_raw:
            yield f"{key} is {status} and still where it was uploaded."
    summarized = {row["date"] for row in answers.kpi_rows if row["sk"] == "SUMMARY"}
    yield from (f"{day} has accepted plays and no KPIs." for day in answers.days if day not in summarized)
