"""What is wrong with plain moto in the workflow parts: a test here fails once moto no longer needs the patch.

Then remove the patch that the test's comment names, and the test.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

_ROOT: Final = Path(__file__).parents[2]


@cache
def _plain_moto() -> dict[str, Any]:
    answer = subprocess.run(
        [sys.executable, "-m", "tests.local.plain_moto_workflow"],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    seen: dict[str, Any] = json.loads(answer.stdout)
    return seen


@pytest.mark.parametrize(
    ("observation", "expected", "patch"),
    [
        ("interpreter_is_on", False, "step_functions.install: execute_state_machine"),
        ("expression_is_evaluated", "FAILED", "jsonata_evaluation._evaluate_in_state"),
        ("hash_of_abc", "Function $hash is currently not supported", "jsonata_evaluation._FUNCTIONS"),
        ("failed_expression", "States.Runtime", "jsonata_evaluation._evaluate_in_state"),
        ("output_sees_assigned", "2", "control_flow._assign_after_output"),
        ("text_output", "text", "executions._describe_execution"),
        ("get_object", "FAILED", "integrations.to_result"),
        ("missing_object", "s3.NoSuchKeyException", "integrations._sdk_service_name"),
        ("stored_body", "text", "integrations.to_request"),
        ("described_by_sdk", "FAILED", "integrations.to_request"),
        ("encoded_copy_source", "FAILED", "integrations.copy_source"),
        ("execution_started_by_a_task", "FAILED", "integrations.install: StateTaskServiceSfn"),
        ("query_error_is_retried_as_task_failed", False, "integrations._matches_error"),
        ("error_of_a_map_is_lost", True, "control_flow.install: CustomErrorName"),
        ("name_of_an_unnamed_execution", "None", "executions._name_executions"),
        ("stop_in_a_retry_interval", ["RUNNING", None], "control_flow._retry, executions._stop_execution"),
        ("redrive", "INTERNAL SERVER ERROR", "executions._redrive_execution, progress"),
        ("stop_date_of_a_timeout", False, "executions._describe_execution"),
        ("status_change_events", 0, "status_events"),
        ("executions_started_by_a_rule", 0, "events.start_execution"),
        ("events_from_a_disabled_rule", 1, "events.install"),
        ("table_copies_of_a_transaction", 1, "dynamodb_transactions.transact_write_items"),
        ("left_by_a_failed_update", ["n", "pk", "word"], "dynamodb_transactions._undo_failed_updates"),
        ("values_given_to_three_adds", ["3", "3", "3"], "dynamodb_transactions._one_request_at_a_time"),
    ],
)
def test_moto_still_needs_the_patch(observation: str, expected: object, patch: str) -> None:
    seen = _plain_moto()[observation]
    assert seen == expected, f"moto now gives {seen!r} for {observation}: see whether local_aws still needs {patch}"


def test_moto_still_writes_variables_into_the_text_of_an_expression() -> None:
    assert _plain_moto()["variable_with_quotes"] != json.dumps('say "no"'), "jsonata_evaluation._evaluate_in_state"


def test_moto_still_breaks_sync_tasks() -> None:
    assert "interrupt_all" in _plain_moto()["glue_sync"], "integrations._make_sync_work"


def test_moto_still_gives_the_whole_history_at_once() -> None:
    assert _plain_moto()["size_of_a_history_page_of_one"] > 1, "executions._get_execution_history"
