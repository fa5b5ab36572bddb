"""`make run`: uploads CSV files to the pipeline on the embedded AWS, shows what becomes of them, keeps the results."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from glue_scripts import names
from glue_scripts.ledger import FileStatus
from laptop.collect import LastRun, read_emails
from laptop.inputs import SAMPLES_DIR, SAMPLES_SEED, Input, InputError, find_inputs
from laptop.outcome import problems
from laptop.pipeline import Answers, Pipeline, Uploaded, all_outputs
from laptop.show import data_console, email_panels, executions_table, files_table, kpi_tables
from laptop.watch import StuckError, watch
from local_aws.server import EmbeddedAws
from local_aws.work_dir import WorkDirInUseError
from samples.generate import sample_files, write_files

ASSEMBLY = Path(".local/assembly")
WORK_DIR = Path(".local/run")
STATUS_OF_OUTCOME = {"accepted": FileStatus.ARCHIVED, "rejected": FileStatus.REJECTED}
LAST_RUN = LastRun(Path(".local/last_run"))


def main() -> int:
    """Runs once.

    Returns:
        0 if everything ended as it should, 1 if not, 2 if there was nothing to run on, 130 if it was interrupted.
    """
    arguments = _parse()
    console = data_console()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    LAST_RUN.empty()
    try:
        inputs, expected = _samples() if arguments.input is None else (find_inputs(arguments.input), {})
        found = _run(inputs, expected, console, deadline_seconds=60 * arguments.deadline_minutes)
    except (InputError, WorkDirInUseError) as error:
        console.print(str(error), style="red", soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        console.print(f"Interrupted. What there is so far is in {LAST_RUN.folder}/", style="red")
        return 130
    if found:
        for problem in found:
            console.print(problem, style="red", soft_wrap=True)
        console.print(f"The run did not end as it should: read the job logs in {LAST_RUN.folder}/logs/", style="red")
        return 1
    console.print(f"Everything ended as it should. Tables, e-mails, reports and logs are in {LAST_RUN.folder}/")
    return 0


def _run(
    inputs: Sequence[Input], expected: Mapping[str, str], console: Console, *, deadline_seconds: float
) -> list[str]:
    """Returns what is not as it should be."""
    data_bucket = None
    try:
        console.print("Starting the embedded AWS and deploying the stacks")
        with EmbeddedAws(ASSEMBLY, WORK_DIR) as aws:
            pipeline = Pipeline(all_outputs(aws.outputs), aws.environment())
            data_bucket = pipeline.outputs["DataBucketName"]
            try:
                files, stuck = _process(pipeline, inputs, console, deadline_seconds)
            finally:
                answers = pipeline.answers()
                LAST_RUN.keep_answers(answers)
            _show(answers, console)
            return [*stuck, *problems(answers, files, expected)]
    finally:
        LAST_RUN.keep_files(WORK_DIR, data_bucket)


def _process(
    pipeline: Pipeline, inputs: Sequence[Input], console: Console, deadline_seconds: float
) -> tuple[list[Uploaded], list[str]]:
    """Uploads, and waits for the end. Returns the uploaded files and what the pipeline got stuck at."""
    files = [pipeline.upload(file) for file in inputs]
    console.print(f"Uploaded {len(files)} files to s3://{pipeline.outputs['DataBucketName']}/{names.RAW_PREFIX}")
    try:
        watch(pipeline.snapshot, files, console, deadline_seconds=deadline_seconds)
    except StuckError as stuck:
        return files, [str(stuck)]
    return files, []


def _show(answers: Answers, console: Console) -> None:
    console.print(executions_table(answers.executions), files_table(answers), *email_panels(read_emails(WORK_DIR)))
    console.print(*kpi_tables(answers.kpi_rows))


def _samples() -> tuple[list[Input], Mapping[str, str]]:
    """Writes generated files. Returns them and, by key, the ledger status that each has to end with."""
    shutil.rmtree(SAMPLES_DIR, ignore_errors=True)
    samples = sample_files(seed=SAMPLES_SEED)
    write_files(samples, SAMPLES_DIR)
    inputs = find_inputs(SAMPLES_DIR)
    return inputs, {file.key: STATUS_OF_OUTCOME[samples[file.path.name].expected.outcome] for file in inputs}


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m laptop.run", description=__doc__)
    parser.add_argument("--input", type=Path, help="folder of CSV files; generated samples without it")
    parser.add_argument("--deadline-minutes", type=float, default=60, help="give up after this time")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
