"""The server of the workflow tests."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.local.workflow_server import workflow_server

WAITS = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 100_000, "End": True}}}


def test_no_execution_outlives_its_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(threading.enumerate())
    with workflow_server(tmp_path, monkeypatch) as server:
        server.start(WAITS)
        assert _executions(before)

    assert not _executions(before)


def _executions(before: set[threading.Thread]) -> list[threading.Thread]:
    return [thread for thread in set(threading.enumerate()) - before if thread.name.endswith("(_run)")]
