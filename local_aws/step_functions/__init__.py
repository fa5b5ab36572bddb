"""Step Functions on moto's server, as AWS runs it: the interpreter that moto ships, switched on and put right.

Everything happens inside the process of the moto server. Each correction has a canary test that fails once moto no
longer needs it (tests/local/test_moto_canaries_workflow.py).
"""

from __future__ import annotations

import os
from typing import Final

from moto.core.config import default_user_config

from local_aws.step_functions import (
    control_flow,
    data_limits,
    executions,
    integrations,
    jsonata_evaluation,
    progress,
    server_clients,
)

WAIT_SCALE_VARIABLE: Final = "LOCAL_AWS_WAIT_SCALE"
"""Environment variable: factor for the seconds of `Wait` states and `Retry` intervals; 1 where unset."""

_installed: Final[list[bool]] = []


def install(*, wait_scale: float | None = None) -> None:
    """Correct moto's Step Functions in this process; a second call changes the wait scale only.

    Args:
        wait_scale: Factor for the seconds of `Wait` states and `Retry` intervals (never of timeouts); by default that
            of the environment variable `LOCAL_AWS_WAIT_SCALE`, and 1 without it, which is AWS's pace.

    Raises:
        ValueError: The factor is negative or not a number.
    """
    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    scale = float(os.environ.get(WAIT_SCALE_VARIABLE, "1")) if wait_scale is None else wait_scale
    control_flow.set_wait_scale(scale)
    if _installed:
        return
    _installed.append(True)
    for part in (server_clients, jsonata_evaluation, integrations, progress, control_flow, data_limits, executions):
        part.install()
