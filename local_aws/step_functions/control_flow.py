"""Timeouts, stops, waits and Map as AWS runs them, where moto's interpreter does otherwise."""

from __future__ import annotations

import threading
import time
from typing import Any, Final

from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.component.common.assign.assign_decl import AssignDecl
from moto.stepfunctions.parser.asl.component.common.error_name.error_name import ErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEventException
from moto.stepfunctions.parser.asl.component.common.retry.max_attempts_decl import MaxAttemptsOutcome
from moto.stepfunctions.parser.asl.component.common.retry.retrier_decl import RetrierDecl
from moto.stepfunctions.parser.asl.component.common.retry.retrier_outcome import RetrierOutcome
from moto.stepfunctions.parser.asl.component.common.timeouts.timeout import EvalTimeoutError
from moto.stepfunctions.parser.asl.component.eval_component import EvalComponent
from moto.stepfunctions.parser.asl.component.program.program import Program
from moto.stepfunctions.parser.asl.component.state.exec.execute_state import ExecutionState
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration import iteration_worker
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.inline_iteration_component import (
    InlineIterationComponent,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.job import JobPool
from moto.stepfunctions.parser.asl.component.state.exec.state_parallel import branches_decl
from moto.stepfunctions.parser.asl.component.state.state import CommonStateField
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.program_state import ProgramTimedOut

from local_aws.patching import MotoObject, replace
from local_aws.step_functions.data_limits import check_variables
from local_aws.step_functions.integrations import TaskInterruptedError
from local_aws.step_functions.progress import start_state

_POLL_SECONDS: Final = 0.05
_LAST_CALL_SECONDS: Final = 30
"""How long an execution that timed out waits for its last API call before it says so."""
_wait: Final = {"scale": 1.0}


class ExecutionOverError(BaseException):
    """The execution was stopped or timed out: nothing more of it may run, be retried or be caught."""


def set_wait_scale(scale: float) -> None:
    """Scale the seconds of every `Wait` state and `Retry` interval; timeouts stay as they are.

    Args:
        scale: Factor, at least 0.

    Raises:
        ValueError: The factor is negative.
    """
    if scale < 0:
        raise ValueError(f"the wait scale is a factor of at least 0, not {scale}")
    _wait["scale"] = scale


def install() -> None:
    """Make moto's interpreter keep to AWS's control flow."""
    _stop_at_once()
    _wait_only_while_running()
    _assign_after_output()
    _record_failed_evaluations()
    for module in (iteration_worker, branches_decl):  # their own class refuses `States.…`: the error would get lost
        replace(module, "CustomErrorName", ErrorName)
    replace(EvalComponent, "_log_failure_event_exception", _log_nothing)
    replace(Program, "eval", _run_program)
    replace(Environment, "set_timed_out", _set_timed_out)
    replace(InlineIterationComponent, "_eval_body", _run_iterations)


def _log_nothing(self: MotoObject, failure_event_exception: MotoObject) -> None:
    """Replace `_log_failure_event_exception`: the history tells it; moto prints the whole definition at every level."""


def _run_program(self: MotoObject, env: MotoObject) -> None:
    """Replace `Program.eval`: start where a redrive resumes, and end only when nothing of the program runs any more."""
    env.next_state_name = start_state(env, self.start_at.start_at_name)
    worker = threading.Thread(target=super(Program, self).eval, args=(env,), daemon=True)
    worker.start()
    worker.join(timeout=self.timeout_seconds.timeout_seconds if self.timeout_seconds else None)
    if worker.is_alive():
        env.set_timed_out()
        worker.join(timeout=_LAST_CALL_SECONDS)


def _stop_at_once() -> None:
    def until_over(self: MotoObject, env: MotoObject) -> None:
        try:
            evaluate_states(self, env)
        except ExecutionOverError:
            evaluate_states(self, env)  # no state runs in an ended environment: it only writes the closing event

    evaluate_states = replace(Program, "_eval_body", until_over)
    _raise_when_over()


def _raise_when_over() -> None:
    def with_timeout(self: MotoObject, env: MotoObject) -> None:
        try:
            evaluate_with_timeout(self, env)
        except TaskInterruptedError:
            if env.is_running():
                raise EvalTimeoutError from None
            raise ExecutionOverError from None
        except Exception:
            if env.is_running():
                raise
            raise ExecutionOverError from None
        if not env.is_running():
            raise ExecutionOverError

    evaluate_with_timeout = replace(ExecutionState, "_evaluate_with_timeout", with_timeout)


def _set_timed_out(self: MotoObject) -> None:
    """Replace `Environment.set_timed_out`, after which iterations of a Map count as succeeded."""
    with self._state_mutex:
        if self.is_running():
            self._program_state = ProgramTimedOut()
            _stop_frames(self)
            self.program_state_event.set()


def _stop_frames(env: MotoObject) -> None:
    for frame in list(env._frames):
        frame.set_stop(stop_date=None, cause=None, error=None)


def _wait_only_while_running() -> None:
    def wait_interval(_: MotoObject, env: MotoObject, wait_seconds: float) -> None:
        _wait_in(env, wait_seconds)

    replace(WaitFunction, "_wait_interval", wait_interval)
    replace(RetrierDecl, "_eval_body", _retry)


def _wait_in(env: MotoObject, seconds: float) -> None:
    deadline = time.monotonic() + seconds * _wait["scale"]
    while env.is_running() and (remaining := deadline - time.monotonic()) > 0:
        time.sleep(min(remaining, _POLL_SECONDS))


def _retry(self: MotoObject, env: MotoObject) -> None:
    """Replace `RetrierDecl._eval_body`, whose sleep does not end with the execution."""
    self.error_equals.eval(env)
    if not env.stack.pop():
        env.stack.append(RetrierOutcome.Skipped)
        return
    self.max_attempts.eval(env=env)
    if env.stack.pop() == MaxAttemptsOutcome.EXHAUSTED:
        env.stack.append(RetrierOutcome.Failed)
        return
    for part in (self.interval_seconds, self.backoff_rate, self.max_delay_seconds, self.jitter_strategy):
        part.eval(env=env)
    _wait_in(env, env.stack.pop())
    env.stack.append(RetrierOutcome.Executed)


def _assign_after_output() -> None:
    """Evaluate `Assign` and `Output` with the same variables: the new ones hold from the next state on.

    https://docs.aws.amazon.com/step-functions/latest/dg/workflow-variables.html
    """

    def keep_assignments(self: MotoObject, env: MotoObject) -> None:
        assignments: dict[str, Any] = {}
        for binding in self.declaration_bindings:
            binding.eval(env=env)
            assignments.update(env.stack.pop())
        check_variables(env, assignments)
        env.heap["local_aws.assignments"] = assignments

    def assign_and_describe(self: MotoObject, env: MotoObject) -> MotoObject:
        for name, value in env.heap.pop("local_aws.assignments", {}).items():
            env.variable_store.set(variable_identifier=name, variable_value=value)
        return exited_event_details(self, env=env)

    replace(AssignDecl, "_eval_body", keep_assignments)
    exited_event_details = replace(CommonStateField, "_get_state_exited_event_details", assign_and_describe)


def _record_failed_evaluations() -> None:
    """Put `EvaluationFailed` into the history for states other than Task, Map and Parallel, which do it themselves."""

    def eval_body(self: MotoObject, env: MotoObject) -> None:
        try:
            evaluate_body(self, env)
        except FailureEventException as failure:
            event = failure.failure_event
            if event.event_type == HistoryEventType.EvaluationFailed and not isinstance(self, ExecutionState):
                env.event_manager.add_event(
                    context=env.event_history_context,
                    event_type=event.event_type,
                    event_details=event.event_details,
                )
            raise

    evaluate_body = replace(CommonStateField, "_eval_body", eval_body)


def _run_iterations(self: MotoObject, env: MotoObject) -> None:
    """Replace `InlineIterationComponent._eval_body`: a failed one aborts the others, and none outlives the Map."""
    eval_input = env.stack.pop()
    items = eval_input.input_items
    pool = JobPool(job_program=self._get_iteration_program(), job_inputs=items)
    concurrency = min(len(items), eval_input.max_concurrency or len(items))
    workers = [self._create_worker(env=env, eval_input=eval_input, job_pool=pool) for _ in range(concurrency)]
    threads = [threading.Thread(target=worker.eval, daemon=True) for worker in workers]
    for thread in threads:
        thread.start()
    pool.await_jobs()
    failure = pool.get_worker_exception()
    for thread in threads:
        while thread.is_alive():
            if failure is not None:
                _stop_frames(env)
            thread.join(timeout=_POLL_SECONDS)
    if failure is not None:
        if isinstance(failure, FailureEventException):
            # What an aborted iteration wrote last is not what led to the Map's failure.
            env.event_history_context.source_event_id = failure.failure_event.source_event_id
        raise failure
    env.stack.append([job.job_output for job in pool.get_closed_jobs()])
