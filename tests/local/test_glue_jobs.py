"""Glue job runs are processes: their arguments, their ends, their queue, and that none outlives the embedded AWS."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws.glue_jobs import GlueJobs
from tests.local.s3_and_glue import (
    BUCKET,
    Aws,
    create_job,
    ended,
    log_of,
    run_of,
    running_jobs,
    serving,
    start,
    state_of,
    until,
)

REPOSITORY = Path(__file__).parents[2]

WAIT_FOR_GO = """
import time, boto3
s3 = boto3.client("s3")
while "Contents" not in s3.list_objects_v2(Bucket="music", Prefix="go"):
    time.sleep(0.05)
"""

HANG = "import time\ntime.sleep(600)\n"

LEAVE_PIDS = """
import os, sys, time
from pathlib import Path
from pyspark.sql import SparkSession

folder = Path(sys.argv[sys.argv.index("--pids") + 1])

def leave(name, pid):
    (folder / f"{name}.draft").write_text(str(pid))
    (folder / f"{name}.draft").rename(folder / name)

def hang(row):
    leave("daemon", os.getppid())
    leave("worker", os.getpid())
    time.sleep(600)

spark = SparkSession.builder.getOrCreate()
leave("script", os.getpid())
leave("java", spark._jvm.java.lang.ProcessHandle.current().pid())
spark.sparkContext.parallelize([1], 1).foreach(hang)
"""

PARENT = """
import os, subprocess, sys, time
from pathlib import Path
from tests.local.s3_and_glue import create_job, running_jobs, serving, start

work_dir, pids, script = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]

def leave(name, pid):
    (pids / f"{name}.draft").write_text(str(pid))
    (pids / f"{name}.draft").rename(pids / name)

with serving(work_dir) as aws, running_jobs(aws):
    create_job(aws, script, kind="glueetl")
    start(aws, Arguments={"--pids": str(pids)})
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], close_fds=False)
    leave("other child", other.pid)
    forked = os.fork()
    if forked:
        leave("forked child", forked)
    time.sleep(600)
"""


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[Aws]:
    with serving(tmp_path) as aws:
        yield aws


@pytest.fixture
def jobs(aws: Aws) -> Iterator[GlueJobs]:
    """Glue whose minutes last half a second."""
    with running_jobs(aws, seconds_per_timeout_minute=0.5) as jobs:
        yield jobs


@pytest.fixture
def patient_jobs(aws: Aws) -> Iterator[GlueJobs]:
    with running_jobs(aws) as jobs:
        yield jobs


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has waited for does not."""
    status = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            return status.read_text().rpartition(")")[2].split()[0] != "Z"
        except (FileNotFoundError, ProcessLookupError):
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def pids_in(folder: Path, *names: str) -> dict[str, int]:
    until(lambda: all((folder / name).exists() for name in names), 120, f"the processes {names}")
    return {name: int((folder / name).read_text()) for name in names}


def until_gone(pids: dict[str, int]) -> None:
    until(lambda: not any(is_alive(pid) for pid in pids.values()), 20, f"the end of {pids}")


def error_of(aws: Aws, script: str) -> str:
    create_job(aws, script)
    run = ended(aws, start(aws))
    assert run["JobRunState"] == "FAILED"
    return str(run["ErrorMessage"])


@pytest.mark.usefixtures("patient_jobs")
def test_a_run_that_ends_well_succeeds_and_tells_when(aws: Aws) -> None:
    create_job(aws, "print('hello')", Timeout=7, DefaultArguments={"--a": "1"})
    run = ended(aws, start(aws, Arguments={"--b": "2"}))
    assert run["JobRunState"] == "SUCCEEDED"
    assert run["Arguments"] == {"--b": "2"}
    assert run["StartedOn"] <= run["CompletedOn"] == run["LastModifiedOn"]
    assert 0 <= run["ExecutionTime"] < 60
    assert (run["Timeout"], run["LogGroupName"], run["GlueVersion"]) == (7, "/aws-glue/jobs", "5.1")
    assert "ErrorMessage" not in run


@pytest.mark.usefixtures("patient_jobs")
def test_the_script_gets_the_arguments_as_glue_gives_them(aws: Aws) -> None:
    defaults = {
        "--place": "job",
        "--only_job": "1",
        "--job-language": "python",
        "--enable-metrics": "true",
        "--additional-python-modules": "nothing-of-that-name",
        "--conf": "spark.a=b",
        "--TempDir": "s3://music/tmp/",
    }
    create_job(aws, "import json, sys; print(json.dumps(sys.argv))", DefaultArguments=defaults)
    run_id = start(aws, Arguments={"--place": "run, with spaces", "--only_run": "2"})
    assert ended(aws, run_id)["JobRunState"] == "SUCCEEDED"
    script, *arguments = json.loads(log_of(aws, run_id))
    given = dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert Path(script).name == "job.py"
    assert given.pop("--JOB_ID").startswith("j_")
    assert given == {
        "--place": "run, with spaces",
        "--only_job": "1",
        "--only_run": "2",
        "--TempDir": "s3://music/tmp/",
        "--JOB_RUN_ID": run_id,
        "--JOB_NAME": "job",
    }


@pytest.mark.usefixtures("patient_jobs")
def test_glue_s_own_parser_reads_the_arguments_and_names_a_missing_one(aws: Aws) -> None:
    script = "import sys\nfrom awsglue.utils import getResolvedOptions\n"
    create_job(aws, script + "print(getResolvedOptions(sys.argv, ['JOB_NAME', 'place'])['place'])")
    run_id = start(aws, Arguments={"--place": "here"})
    assert ended(aws, run_id)["JobRunState"] == "SUCCEEDED"
    assert log_of(aws, run_id) == "here\n"
    run = ended(aws, start(aws))
    assert run["ErrorMessage"] == "GlueArgumentError: the following arguments are required: --place"


def test_a_run_has_the_python_that_is_set_and_so_have_spark_s_workers(
    aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv.create(tmp_path / "environment", symlinks=True)
    python = tmp_path / "environment/bin/python"
    monkeypatch.setenv("LOCAL_AWS_GLUE_PYTHON", str(python))
    create_job(aws, "import os, sys\nprint(sys.executable, os.environ['PYSPARK_PYTHON'])\nimport boto3")

    with running_jobs(aws):
        run = ended(aws, run_id := start(aws))

    assert log_of(aws, run_id).startswith(f"{python} {python}\n")
    assert run["ErrorMessage"] == "ModuleNotFoundError: No module named 'boto3'"


def test_a_python_that_is_not_there_is_told_by_the_name_of_its_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_AWS_GLUE_PYTHON", str(tmp_path / "python"))
    with pytest.raises(ValueError, match=r"LOCAL_AWS_GLUE_PYTHON is '.*/python', and there is no such program"):
        GlueJobs(tmp_path, "http://127.0.0.1:1")


@pytest.mark.usefixtures("patient_jobs")
def test_extra_python_files_are_importable_and_this_repository_is_not(aws: Aws) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("shared/__init__.py", "")
        files.writestr("shared/words.py", "WORD = 'from the zip'")
    aws.s3.put_object(Bucket=BUCKET, Key="code/shared.zip", Body=archive.getvalue())
    aws.s3.put_object(Bucket=BUCKET, Key="code/single.py", Body=b"WORD = 'from the module'")
    script = """
import importlib.util
from pathlib import Path
import single
from shared.words import WORD
print(WORD, single.WORD)
print([name for name in ('local_aws', 'glue_jobs', 'spark_conf', 'glue_scripts') if importlib.util.find_spec(name)])
print(list(Path.cwd().iterdir()))
"""
    files_argument = "s3://music/code/shared.zip, s3://music/code/single.py"
    create_job(aws, script, DefaultArguments={"--extra-py-files": files_argument})
    run_id = start(aws)
    assert ended(aws, run_id)["JobRunState"] == "SUCCEEDED", log_of(aws, run_id)
    assert log_of(aws, run_id) == "from the zip from the module\n[]\n[]\n"


@pytest.mark.usefixtures("patient_jobs")
def test_the_script_sees_the_embedded_aws_and_no_other(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setenv("PATH_OF_MINE", "kept")
    create_job(aws, "import boto3, os; print(boto3.client('s3').list_buckets()['Buckets'][0]['Name'], os.environ)")
    run_id = start(aws)
    assert ended(aws, run_id)["JobRunState"] == "SUCCEEDED", log_of(aws, run_id)
    assert log_of(aws, run_id).startswith("music ")
    assert "'PATH_OF_MINE': 'kept'" in log_of(aws, run_id)
    assert "production" not in log_of(aws, run_id)


@pytest.mark.usefixtures("patient_jobs")
def test_what_a_run_prints_is_kept_however_much_it_is(aws: Aws) -> None:
    create_job(aws, "import sys\nprint('x' * 3_000_000)\nprint('last words', file=sys.stderr)")
    run_id = start(aws)
    assert ended(aws, run_id)["JobRunState"] == "SUCCEEDED"
    assert len(log_of(aws, run_id)) > 3_000_000
    assert "last words" in log_of(aws, run_id)


@pytest.mark.usefixtures("patient_jobs")
@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("raise ValueError('the file is odd')", "ValueError: the file is odd"),
        ("class Odd(Exception): pass\nraise Odd", "Odd"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def broken(:", "SyntaxError: invalid syntax"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("import sys; sys.exit('no input')", "SystemExit: no input"),
        ("import os; os._exit(4)", "Command failed with exit code 4"),
        ("import os, signal; os.kill(os.getpid(), 9)", "Command failed: the process was killed by SIGKILL"),
    ],
)
def test_a_run_that_ends_badly_fails_with_the_last_line_of_its_error(aws: Aws, script: str, message: str) -> None:
    assert error_of(aws, script) == message


@pytest.mark.usefixtures("patient_jobs")
def test_the_traceback_in_the_log_begins_at_the_script(aws: Aws) -> None:
    create_job(aws, "def f():\n    raise ValueError('odd')\nf()")
    run_id = start(aws)
    ended(aws, run_id)
    assert "job.py" in log_of(aws, run_id).splitlines()[1]


@pytest.mark.usefixtures("patient_jobs")
def test_a_script_that_is_not_there_is_a_launch_error(aws: Aws) -> None:
    create_job(aws, "")
    aws.s3.delete_object(Bucket=BUCKET, Key="code/job.py")
    run = ended(aws, start(aws))
    assert run["JobRunState"] == "FAILED"
    assert run["ErrorMessage"].startswith("LAUNCH ERROR | File cannot be read: s3://music/code/job.py")


@pytest.mark.usefixtures("jobs")
def test_a_run_longer_than_its_timeout_is_killed(aws: Aws) -> None:
    create_job(aws, HANG, Timeout=480)
    run = ended(aws, start(aws, Timeout=2))
    assert (run["JobRunState"], run["Timeout"]) == ("TIMEOUT", 2)
    assert 1 <= run["ExecutionTime"] < 60


@pytest.mark.usefixtures("patient_jobs")
def test_a_stopped_run_and_what_it_started_are_gone(aws: Aws, tmp_path: Path) -> None:
    script = f"""
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({str(tmp_path / "draft")!r}, "w").write(str(child.pid))
os.rename({str(tmp_path / "draft")!r}, {str(tmp_path / "child")!r})
child.wait()
"""
    create_job(aws, script)
    run_id = start(aws)
    pids = pids_in(tmp_path, "child")
    answer = aws.glue.batch_stop_job_run(JobName="job", JobRunIds=[run_id])
    assert answer["SuccessfulSubmissions"] == [{"JobName": "job", "JobRunId": run_id}]
    assert ended(aws, run_id)["JobRunState"] == "STOPPED"
    until_gone(pids)


@pytest.mark.usefixtures("patient_jobs")
def test_a_run_that_has_ended_or_never_was_cannot_be_stopped(aws: Aws) -> None:
    create_job(aws, "")
    run_id = start(aws)
    ended(aws, run_id)
    errors = aws.glue.batch_stop_job_run(JobName="job", JobRunIds=[run_id, "jr_none"])["Errors"]
    codes = [(error["JobRunId"], error["ErrorDetail"]["ErrorCode"]) for error in errors]
    assert codes == [(run_id, "InvalidInputException"), ("jr_none", "EntityNotFoundException")]


@pytest.mark.usefixtures("patient_jobs")
def test_runs_above_the_limit_wait_and_then_run_in_their_order(aws: Aws) -> None:
    create_job(aws, WAIT_FOR_GO, JobRunQueuingEnabled=True, ExecutionProperty={"MaxConcurrentRuns": 1})
    run_ids = [start(aws) for _ in range(3)]
    until(lambda: state_of(aws, run_ids[0]) == "RUNNING", 60, "the first run")
    assert [state_of(aws, run_id) for run_id in run_ids] == ["RUNNING", "WAITING", "WAITING"]
    assert run_of(aws, run_ids[1])["ExecutionTime"] == 0
    aws.s3.put_object(Bucket=BUCKET, Key="go", Body=b"")
    ends = [ended(aws, run_id)["CompletedOn"] for run_id in run_ids]
    assert ends == sorted(ends)
    assert [state_of(aws, run_id) for run_id in run_ids] == ["SUCCEEDED"] * 3
    listed = [run["Id"] for run in aws.glue.get_job_runs(JobName="job")["JobRuns"]]
    assert listed == run_ids[::-1]


@pytest.mark.usefixtures("patient_jobs")
def test_without_queuing_a_run_above_the_limit_is_refused(aws: Aws) -> None:
    create_job(aws, WAIT_FOR_GO, ExecutionProperty={"MaxConcurrentRuns": 2})
    run_ids = [start(aws), start(aws)]
    with pytest.raises(ClientError, match="ConcurrentRunsExceededException"):
        start(aws)
    waiting = start(aws, JobRunQueuingEnabled=True)
    assert state_of(aws, waiting) == "WAITING"
    aws.s3.put_object(Bucket=BUCKET, Key="go", Body=b"")
    assert {ended(aws, run_id)["JobRunState"] for run_id in [*run_ids, waiting]} == {"SUCCEEDED"}


def test_runs_of_all_jobs_together_have_a_limit_as_an_account_has(aws: Aws) -> None:
    five = {"MaxConcurrentRuns": 5}
    create_job(aws, WAIT_FOR_GO, name="one", JobRunQueuingEnabled=True, ExecutionProperty=five)
    create_job(aws, WAIT_FOR_GO, name="other", ExecutionProperty=five)
    with running_jobs(aws, runs_at_a_time=2):
        run_ids = [start(aws, "one") for _ in range(4)]
        assert [state_of(aws, run_id, "one") for run_id in run_ids[2:]] == ["WAITING", "WAITING"]
        with pytest.raises(ClientError, match=r"ResourceNumberLimitExceededException.*2 job runs are at work"):
            start(aws, "other")
        waiting = start(aws, "other", JobRunQueuingEnabled=True)
        aws.s3.put_object(Bucket=BUCKET, Key="go", Body=b"")
        assert {ended(aws, run_id, "one")["JobRunState"] for run_id in run_ids} == {"SUCCEEDED"}
        assert ended(aws, waiting, "other")["JobRunState"] == "SUCCEEDED"


@pytest.mark.usefixtures("patient_jobs")
def test_a_waiting_run_can_be_stopped_and_never_runs(aws: Aws) -> None:
    create_job(aws, WAIT_FOR_GO, JobRunQueuingEnabled=True)
    first, second = start(aws), start(aws)
    aws.glue.batch_stop_job_run(JobName="job", JobRunIds=[second])
    assert state_of(aws, second) == "STOPPED"
    aws.s3.put_object(Bucket=BUCKET, Key="go", Body=b"")
    assert ended(aws, first)["JobRunState"] == "SUCCEEDED"
    assert not (aws.work_dir / "logs" / "glue" / "job" / f"{second}.log").exists()


@pytest.mark.usefixtures("patient_jobs")
def test_a_job_tells_whether_its_runs_are_queued(aws: Aws) -> None:
    create_job(aws, "", JobRunQueuingEnabled=True)
    assert aws.glue.get_job(JobName="job")["Job"]["JobRunQueuingEnabled"] is True


@pytest.mark.usefixtures("patient_jobs")
def test_a_job_that_does_not_exist_cannot_be_run(aws: Aws) -> None:
    with pytest.raises(ClientError, match="EntityNotFoundException"):
        start(aws, "nobody")


@pytest.mark.usefixtures("patient_jobs")
@pytest.mark.parametrize(
    "settings",
    [{"kind": "gluestreaming"}, {"MaxRetries": 1}, {"DefaultArguments": {"--extra-jars": "s3://music/a.jar"}}],
)
def test_what_is_not_emulated_is_refused_loudly(aws: Aws, settings: dict[str, Any]) -> None:
    create_job(aws, "", **settings)
    with pytest.raises(ClientError, match="not emulated by local_aws"):
        start(aws)


def test_closing_kills_the_runs_with_their_java_and_python_workers(aws: Aws, tmp_path: Path) -> None:
    with running_jobs(aws) as jobs:
        create_job(aws, LEAVE_PIDS, kind="glueetl")
        run_id = start(aws, Arguments={"--pids": str(tmp_path)})
        pids = pids_in(tmp_path, "script", "java", "daemon", "worker")
        jobs.close()
        until_gone(pids)
        assert state_of(aws, run_id) == "STOPPED"
    assert list((tmp_path / "spark").iterdir()) == []


def test_no_process_of_a_run_outlives_a_killed_parent(tmp_path: Path) -> None:
    pids_folder = tmp_path / "pids"
    pids_folder.mkdir()
    with (tmp_path / "parent.log").open("wb") as output:
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, str(tmp_path), str(pids_folder), LEAVE_PIDS],
            cwd=REPOSITORY,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    others = {}
    try:
        others = pids_in(pids_folder, "other child", "forked child")
        pids = pids_in(pids_folder, "script", "java", "daemon", "worker")
        assert all(is_alive(pid) for pid in pids.values())
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        until_gone(pids)
        # They are what could have kept the pipe open by which the run learns of its parent's death.
        assert all(is_alive(pid) for pid in others.values())
    finally:
        parent.kill()
        for pid in others.values():
            os.kill(pid, signal.SIGKILL)
