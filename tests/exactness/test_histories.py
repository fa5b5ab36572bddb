"""The law holds under random histories, and each of the protocol's steps is needed for it."""

from __future__ import annotations

import os
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.exactness.histories import run_histories
from tests.exactness.mutants import MUTANTS, Mutant
from tests.exactness.simulation import Code, LawBrokenError

HISTORIES: Final = int(os.environ.get("EXACTNESS_HISTORIES", "500"))
HISTORIES_OF_A_PART: Final = 10_000
"""Hypothesis remembers every history that it has made, and slows down: many are made in parts, on all processors."""
PARTS: Final = tuple(min(HISTORIES_OF_A_PART, HISTORIES - begun) for begun in range(0, HISTORIES, HISTORIES_OF_A_PART))
HISTORIES_TO_FIND_A_MUTANT: Final = 3000
COMMON: Final[dict[str, Any]] = {
    "stateful_step_count": 25,
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}


@pytest.mark.parametrize(("part", "histories"), enumerate(PARTS, start=1))
def test_at_rest_rows_are_what_a_computation_from_scratch_gives(part: int, histories: int) -> None:
    run_histories(Code(), settings(max_examples=histories, print_blob=True, **COMMON))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_a_history_breaks_the_law_where(mutant: Mutant) -> None:
    profile = settings(
        max_examples=HISTORIES_TO_FIND_A_MUTANT,
        phases=[Phase.generate],
        derandomize=True,
        report_multiple_bugs=False,
        **COMMON,
    )
    with pytest.raises(LawBrokenError):
        run_histories(mutant.code(), profile)
