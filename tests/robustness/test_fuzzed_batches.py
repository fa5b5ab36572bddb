"""Batches of fuzzed files through the whole validation job: each has one verdict, one report and one ledger item.

`make trust` judges 500 files in 10 runs of the job.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glue_scripts import names
from tests.robustness import second_judge
from tests.robustness.csv_files import TEXT_PIECES, count, files, fuzzing
from tests.validation.validation_job import UPLOADED, JudgedBatch, Staged, judge
from validators.rules import RULES_BY_ID
from validators.schemas import REQUIRED_COLUMNS

RUNS: Final = count("TRUST_BATCHES", few=1)
FILES: Final = count("TRUST_BATCH_FILES", few=30)

datasets = st.sampled_from(list(REQUIRED_COLUMNS))
file_names = st.lists(st.sampled_from([piece for piece in TEXT_PIECES if len(piece) < 9]), min_size=1, max_size=5)


def fuzzed(number: int) -> list[Staged]:
    """The files of all runs, odd names included; those of one run are a slice."""
    made: dict[str, Staged] = {}

    @given(datasets.flatmap(lambda dataset: st.tuples(st.just(dataset), files(dataset))), file_names)
    @fuzzing(number * 2)
    def keep(file: tuple[str, bytes], name: list[str]) -> None:
        dataset, data = file
        key = f"{names.RAW_PREFIX}{dataset}/{len(made)}{''.join(name)}.csv"
        if data not in [staged.content for staged in made.values()]:
            made[key] = Staged(key=key, content=data)

    keep()
    return list(made.values())[-number:]  # the first ones that Hypothesis makes are the simplest


def expected_reasons(file: Staged) -> set[str]:
    """The rules that may reject a file, by the second judge; none where it must be accepted."""
    dataset = file.key.split("/")[1]
    broken = second_judge.broken_file_rules(file.content, dataset)
    return set(broken) or second_judge.judgement(file.content, dataset, datetime.fromisoformat(UPLOADED)).reasons


def is_comparable(file: Staged) -> bool:
    """Whether the second judge knows what Spark makes of the file's rows."""
    dataset = file.key.split("/")[1]
    return bool(second_judge.broken_file_rules(file.content, dataset)) or second_judge.is_tidy(file.content)


def assert_judged_once(batch: JudgedBatch, given_files: Sequence[Staged]) -> None:
    """Each file has one verdict, and a report and a ledger item that say the same."""
    assert sorted(entry["key"] for kind in ("accepted", "rejected") for entry in batch.verdict[kind]) == sorted(
        file.key for file in given_files
    )
    assert batch.verdict["skipped"] == []
    assert batch.reports.keys() == batch.ledger.keys() == {file.key for file in given_files}
    assert len({item["report_key"] for item in batch.ledger.values()}) == len(given_files)
    for key, report in batch.reports.items():
        outcome, item = batch.outcome(key), batch.ledger[key]
        assert (report["verdict"], item["status"]) == (outcome, outcome.upper())
        assert report["rejected_by"] == item["rejected_by"]
        assert bool(report["rejected_by"]) == (outcome == "rejected")
        assert set(report["rejected_by"]) <= RULES_BY_ID.keys()


@pytest.mark.parametrize("run", range(RUNS))
def test_a_batch_of_fuzzed_files_is_judged_as_a_second_judge_does(tmp_path: Path, run: int) -> None:
    given_files = fuzzed(RUNS * FILES)[run * FILES : (run + 1) * FILES]
    assert len(given_files) == FILES
    batch = judge(tmp_path, given_files)
    assert_judged_once(batch, given_files)
    compared = [file for file in given_files if is_comparable(file)]
    told = {file.key: set(batch.reports[file.key]["rejected_by"]) for file in compared}
    differing = {
        file.key: (told[file.key], expected, file.content)
        for file in compared
        if bool(expected := expected_reasons(file)) != bool(told[file.key]) or not told[file.key] <= expected
    }
    assert differing == {}
    assert len(compared) > FILES // 2
