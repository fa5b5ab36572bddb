"""The law holds under random histories, and each of the protocol's steps is needed for it."""

from __future__ import annotations

import os
from typing import Final

from hypothesis import HealthCheck, settings

from tests.exactness.histories import run_histories
from tests.exactness.simulation import Code

HISTORIES: Final = int(os.environ.get("EXACTNESS_HISTORIES", "2000"))
STEPS_PER_HISTORY: Final = 25


def test_at_rest_rows_are_what_a_computation_from_scratch_gives() -> None:
    profile = settings(
        max_examples=HISTORIES,
        stateful_step_count=STEPS_PER_HISTORY,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    run_histories(Code(), profile)
