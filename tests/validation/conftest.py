"""The table of inputs, judged once for all tests."""

from __future__ import annotations

import pytest

from tests.validation.bad_inputs import CURRENT_SNAPSHOT_ROWS, INPUTS
from tests.validation.validation_job import JudgedBatch, judge


@pytest.fixture(scope="session")
def batch(tmp_path_factory: pytest.TempPathFactory) -> JudgedBatch:
    """What the validation job makes of every input, in one batch."""
    files = [given.staged for given in INPUTS]
    return judge(tmp_path_factory.mktemp("job"), files, snapshot_rows=CURRENT_SNAPSHOT_ROWS)
