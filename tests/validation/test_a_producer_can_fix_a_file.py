"""Somebody who knows nothing of the pipeline mends three rejected files by what their reports say, and no more."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.validation.bad_inputs import PRODUCER, Input
from tests.validation.validation_job import JudgedBatch, Staged, judge


def mended(content: bytes, report: dict[str, Any]) -> bytes:
    """The file after its producer has read the report's words from top to bottom."""
    words = report["in_words"]
    if any("in Windows-1252" in line and "export it as UTF-8" in line for line in words):
        content = content.decode("cp1252").encode("utf-8")
    lines = content.decode().split("\n")
    advice = ""
    for told in words:
        advice = told if "What to do:" in told else advice
        place = re.match(r"    line (\d+)[^:]*: (.*)", told)
        open_quote = re.search(r"in the row that begins in line (\d+) a quote is opened and not closed", told)
        if place:
            number = int(place[1]) - 1
            lines[number] = mended_row(lines[number], place[2], advice)
        elif open_quote:
            number = int(open_quote[1]) - 1
            lines[number] = re.sub(r'"([^",]*)', r'"\1"', lines[number], count=1)
    return "\n".join(lines).encode()


def mended_row(row: str, finding: str, advice: str) -> str:
    """One row, mended by what was found in it and by what the report advises."""
    user, *between, listen_time = row.split(",")
    if "4 fields, the header has 3" in finding and "in double quotes" in advice:
        return f'{user},"{",".join(between)}",{listen_time}'
    if finding == "user_id is empty" and "Give the row its user_id" in advice:
        return f"u1{row}"
    if finding in row.replace(listen_time.strip(), repr(listen_time.strip())) and "Write date and time" in advice:
        return f"{user},{between[0]},2024-06-25 17:43:00\r"
    raise AssertionError(f"The producer does not know what to do with {row!r}: {finding}; {advice}")


def test_three_rejected_files_are_accepted_once_they_are_mended(batch: JudgedBatch, tmp_path: Path) -> None:
    def again(given: Input) -> Staged:
        assert batch.outcome(given.object_key) == "rejected"
        return Staged(key=given.object_key, content=mended(given.content, batch.reports[given.object_key]))

    second = judge(tmp_path, [again(given) for given in PRODUCER])

    assert {given.object_key: second.outcome(given.object_key) for given in PRODUCER} == dict.fromkeys(
        (given.object_key for given in PRODUCER), "accepted"
    )
    assert {report["quarantined"] for report in second.reports.values()} == {0}
    assert second.email == {}
