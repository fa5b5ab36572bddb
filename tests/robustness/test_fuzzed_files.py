"""Files of any bytes through the checks before the judge: one of their rules or none, and a second judge agrees.

`make trust` makes 50,000 of them.
"""

from __future__ import annotations

import io
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.robustness import second_judge
from tests.robustness.csv_files import count, files, fuzzing
from validators import file_checks
from validators.file_checks import FileRejectedError, check_text, plain_chunks
from validators.rules import RULES_BY_ID, Severity
from validators.schemas import MAX_ROW_CHARACTERS, REQUIRED_COLUMNS

FILES: Final = count("TRUST_FILES", few=600)
CHUNKS: Final = (1, 2, 7, 64, 4 * 1024**2)
ROW_LIMITS: Final = (40, 90, MAX_ROW_CHARACTERS)

any_dataset = st.sampled_from(list(REQUIRED_COLUMNS))
any_file = any_dataset.flatmap(lambda dataset: st.tuples(st.just(dataset), files(dataset)))


def rule_broken_by(data: bytes, dataset: str) -> str | None:
    """The rule by which the checks reject a file; None where they accept it."""
    try:
        check_text(io.BytesIO(data), dataset)
    except FileRejectedError as error:
        return error.rule_id
    return None


@given(any_file, st.sampled_from(CHUNKS), st.sampled_from(ROW_LIMITS))
@fuzzing(FILES)
def test_a_file_is_accepted_or_breaks_a_rule_and_a_second_judge_agrees(
    file: tuple[str, bytes], chunk_bytes: int, max_row: int
) -> None:
    dataset, data = file
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(file_checks, "CHUNK_BYTES", chunk_bytes)
        monkeypatch.setattr(file_checks, "MAX_ROW_CHARACTERS", max_row)
        told = rule_broken_by(data, dataset)
    possible = second_judge.broken_file_rules(data, dataset, max_row=max_row)
    assert told in possible if told else not possible, f"told {told}, the second judge says {set(possible)}"
    if told:
        assert RULES_BY_ID[told].severity is Severity.REJECT_FILE
        assert dataset in RULES_BY_ID[told].datasets


@given(any_file, st.sampled_from(CHUNKS))
@fuzzing(FILES // 3)
def test_the_text_of_an_accepted_file_is_unpacked_whole(file: tuple[str, bytes], chunk_bytes: int) -> None:
    dataset, data = file
    if rule_broken_by(data, dataset):
        return
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(file_checks, "CHUNK_BYTES", chunk_bytes)
        plain = b"".join(plain_chunks(io.BytesIO(data)))
    assert plain.decode() == second_judge.text_of(data)


@given(st.binary(max_size=200), any_dataset)
@fuzzing(FILES // 3)
def test_no_bytes_whatever_crash_the_checks(data: bytes, dataset: str) -> None:
    told = rule_broken_by(data, dataset)
    possible = second_judge.broken_file_rules(data, dataset)
    assert told in possible if told else not possible, f"told {told}, the second judge says {set(possible)}"
