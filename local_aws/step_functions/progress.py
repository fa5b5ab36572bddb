"""How far an execution has come, so that a redrive can resume it where it failed.

AWS resumes at the state that failed, with that state's input and the variables as they were; in a Map, only iterations
that did not succeed run again, each from its own failed state.
https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

from moto.stepfunctions.parser.asl.component.common.retry.retry_outcome import RetryOutcome
from moto.stepfunctions.parser.asl.component.state.exec.execute_state import ExecutionState
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.iteration_worker import IterationWorker
from moto.stepfunctions.parser.asl.component.state.state import CommonStateField
from moto.stepfunctions.parser.asl.component.state.state_continue_with import ContinueWithEnd
from moto.stepfunctions.parser.asl.eval.environment import Environment

from local_aws.patching import JsonValue, MotoObject, replace


@dataclass
class Progress:
    """The state that one scope (the execution, or an iteration of a Map) entered last.

    Attributes:
        state: Name of the state; None before the first.
        state_input: Input of the state.
        variables: Variables of this scope when the state was entered.
        iterations: Progress of the iterations of that state, by index, if it is a Map.
        finished: Whether the scope came to its end.
        output: Output of a finished scope.
        resuming: Whether the state was taken over from before a redrive and not entered since.
    """

    state: str | None = None
    state_input: JsonValue = None
    variables: dict[str, JsonValue] = field(default_factory=dict)
    iterations: dict[int, Progress] = field(default_factory=dict)
    finished: bool = False
    output: JsonValue = None
    resuming: bool = False

    def enter(self, state: str, state_input: JsonValue, variables: dict[str, JsonValue]) -> None:
        """Note that a state is entered; the iterations of a resumed Map are kept."""
        if not self.resuming:
            self.iterations = {}
        self.resuming = False
        self.state, self.state_input, self.variables = state, state_input, variables

    def iteration(self, index: int) -> Progress:
        """Return the progress of an iteration of the present Map."""
        return self.iterations.setdefault(index, Progress())

    def resumed(self) -> Progress:
        """Return a copy from which a redrive starts; the run that failed can no longer change it."""
        twin = copy.deepcopy(self)
        twin._mark_resuming()
        return twin

    def _mark_resuming(self) -> None:
        self.resuming = self.state is not None and not self.finished
        for iteration in list(self.iterations.values()):
            iteration._mark_resuming()


def start_state(env: MotoObject, first_state: str) -> str:
    """Return the state at which a scope starts, and restore that state's input and variables if it is resumed."""
    progress: Progress = env.progress
    if not progress.resuming or progress.state is None:
        return first_state
    env.states.reset(input_value=progress.state_input)
    env.variable_store._inner_scope.update(copy.deepcopy(progress.variables))
    return progress.state


def install() -> None:
    """Make moto's interpreter keep the progress of every scope in `Environment.progress`."""
    _share_progress_with_frames()
    _note_entered_and_finished_states()
    _skip_finished_iterations()


def _share_progress_with_frames() -> None:
    def as_inner_frame_of(cls: MotoObject, env: MotoObject, *arguments: MotoObject, **named: MotoObject) -> MotoObject:
        frame = make_frame(cls, env, *arguments, **named)
        frame.progress = env.progress
        return frame

    make_frame = Environment.__dict__["as_inner_frame_of"].__func__
    replace(Environment, "as_inner_frame_of", classmethod(as_inner_frame_of))


def _note_entered_and_finished_states() -> None:
    def note_entry(self: MotoObject, env: MotoObject) -> None:
        env.progress.enter(self.name, env.states.get_input(), copy.deepcopy(env.variable_store._inner_scope))
        evaluate_body(self, env)

    def note_end(self: MotoObject, env: MotoObject) -> None:
        ends = isinstance(self.continue_with, ContinueWithEnd) and env.next_state_name == self.name  # not caught
        set_next(self, env)
        if ends:
            env.progress.finished, env.progress.output = True, env.states.get_input()

    def forget_iterations_on_retry(self: MotoObject, env: MotoObject, failure_event: MotoObject) -> MotoObject:
        outcome = handle_retry(self, env=env, failure_event=failure_event)
        if outcome == RetryOutcome.CanRetry:
            env.progress.iterations = {}
        return outcome

    evaluate_body = replace(CommonStateField, "_eval_body", note_entry)
    set_next = replace(CommonStateField, "_set_next", note_end)
    handle_retry = replace(ExecutionState, "_handle_retry", forget_iterations_on_retry)


def _skip_finished_iterations() -> None:
    def eval_job(self: MotoObject, env: MotoObject, job: MotoObject) -> None:
        progress = env.progress.iteration(job.job_index)
        if progress.finished:
            job.job_output = copy.deepcopy(progress.output)
            return
        env.progress = progress
        evaluate_job(self, env, job)

    evaluate_job = replace(IterationWorker, "_eval_job", eval_job)
