"""One run of `make run`: starts the embedded AWS, uploads, watches, shows and keeps the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from rich.console import Console

from glue_scripts import names
from glue_scripts.ledger import FileStatus
from laptop.collect import LastRun, read_emails
from laptop.exclusive import BusyError, alone_in
from laptop.inputs import SAMPLES_DIR, SAMPLES_SEED, Input, InputError, find_inputs
from laptop.outcome import problems
from laptop.pipeline import Answers, Pipeline, Uploaded, all_outputs
from laptop.show import data_console, email_panels, executions_table, files_table, kpi_tables
from laptop.watch import StuckError, watch
from local_aws import previous_runs
from local_aws.interrupts import Interrupted, Interrupts
from local_aws.intrinsics import DeploymentError
from local_aws.server import EmbeddedAws
from local_aws.work_dir import ForeignWorkDirError, WorkDirInUseError
from operations.output import lines
from samples.generate import sample_files, write_files

ASSEMBLY: Final = Path(".local/assembly")
WORK_DIR: Final = Path(".local/run")
STATUS_OF_OUTCOME: Final = {"accepted": FileStatus.ARCHIVED, "rejected": FileStatus.REJECTED}
LAST_RUN: Final = LastRun(Path(".local/last_run"))


def run(folder: Path | None, *, deadline_seconds: float, interrupts: Interrupts) -> int:
    """Run once. The results of an earlier run stay where they are until this one has started.

    Args:
        folder: holds the CSV files; None takes generated samples.
        deadline_seconds: how long the pipeline may take.
        interrupts: what ends the run early.

    Returns:
        The exit code, as `laptop.run` tells.
    """
    console = data_console()

    def say(sentence: str) -> None:
        console.print(sentence, soft_wrap=True)

    try:
        with alone_in(WORK_DIR):
            inputs, expected = _samples() if folder is None else (find_inputs(folder), {})
            interrupts.check()
            say("Starting the embedded AWS and deploying the stacks")
            aws = EmbeddedAws(ASSEMBLY, WORK_DIR, say=say)
            aws.start()
            return _use(aws, inputs, expected, console, deadline_seconds, interrupts)
    except (BusyError, DeploymentError, ForeignWorkDirError, InputError, WorkDirInUseError) as error:
        console.print(lines(str(error)), style="red", soft_wrap=True)
        return 2
    except Interrupted as interrupted:
        console.print("Interrupted before anything was uploaded.", style="red")
        return interrupted.exit_code


def _use(
    aws: EmbeddedAws,
    inputs: Sequence[Input],
    expected: Mapping[str, str],
    console: Console,
    deadline_seconds: float,
    interrupts: Interrupts,
) -> int:
    """Use a started embedded AWS for a run, and close it. Return the exit code."""
    with closing(aws):
        interrupts.check()
        if previous := LAST_RUN.begin():
            console.print(previous_runs.sentence(previous, "The previous run's results"), soft_wrap=True)
        pipeline = Pipeline(all_outputs(aws.outputs), aws.environment())
        try:
            found = _found(pipeline, inputs, expected, console, deadline_seconds, interrupts)
        except Interrupted as interrupted:
            ending, exit_code = [f"Interrupted. What there is so far is in {LAST_RUN.folder}/"], interrupted.exit_code
        else:
            ending, exit_code = _ending(found), int(bool(found))
        finally:
            aws.close()
            LAST_RUN.keep_files(WORK_DIR, pipeline.outputs["DataBucketName"])
    console.print(lines(*ending), style="red" if exit_code else None, soft_wrap=True)
    return exit_code


def _found(
    pipeline: Pipeline,
    inputs: Sequence[Input],
    expected: Mapping[str, str],
    console: Console,
    deadline_seconds: float,
    interrupts: Interrupts,
) -> list[str]:
    """Upload, watch, keep the answers and show them. Return what is not as it should be.

    Raises:
        Interrupted: A signal came before the pipeline was done; the answers are kept all the same.
    """
    try:
        with interrupts.raised():
            files, stuck = _process(pipeline, inputs, console, deadline_seconds)
    finally:
        answers = pipeline.answers()
        LAST_RUN.keep_answers(answers)
    _show(answers, console)
    return [*stuck, *problems(answers, files, expected)]


def _ending(found: Sequence[str]) -> list[str]:
    if found:
        return [*found, f"The run did not end as it should: read the job logs in {LAST_RUN.folder}/logs/"]
    return [f"Everything ended as it should. Tables, e-mails, reports and logs are in {LAST_RUN.folder}/"]


def _process(
    pipeline: Pipeline, inputs: Sequence[Input], console: Console, deadline_seconds: float
) -> tuple[list[Uploaded], list[str]]:
    """Upload, and wait for the end. Return the uploaded files and what the pipeline got stuck at."""
    files = [pipeline.upload(file) for file in inputs]
    console.print(f"Uploaded {len(files)} files to s3://{pipeline.outputs['DataBucketName']}/{names.RAW_PREFIX}")
    try:
        watch(pipeline.snapshot, files, console, deadline_seconds=deadline_seconds)
    except StuckError as stuck:
        return files, stuck.lines
    return files, []


def _show(answers: Answers, console: Console) -> None:
    console.print(executions_table(answers.executions), files_table(answers), *email_panels(read_emails(WORK_DIR)))
    console.print(*kpi_tables(answers.kpi_rows))


def _samples() -> tuple[list[Input], Mapping[str, str]]:
    """Write generated files. Return them and, by key, the ledger status that each has to end with.

    Other files of the folder are somebody's own: they stay, and are not uploaded.
    """
    samples = sample_files(seed=SAMPLES_SEED)
    write_files(samples, SAMPLES_DIR)
    inputs = [file for file in find_inputs(SAMPLES_DIR) if file.path.name in samples]
    return inputs, {file.key: STATUS_OF_OUTCOME[samples[file.path.name].expected.outcome] for file in inputs}
