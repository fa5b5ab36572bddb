"""Glue job runs that really run: each StartJobRun on moto's Glue becomes a child process with the job's own script.

What is as on AWS: the script comes from `Command.ScriptLocation`, `--extra-py-files` and `--extra-files` from S3; the
arguments are the job's, overlaid by the run's; JOB_ID, JOB_RUN_ID and JOB_NAME are among them; exit status, timeout,
stop, MaxConcurrentRuns and queuing decide the state. Standard output and error of the script go to the log group
`<prefix>/output` while it runs, what Glue says about the run to `<prefix>/error`, both with the job's role and to the
stream that is called like the run; the prefix is `--custom-logGroup-prefix`, or `/aws-glue/jobs`. The output is in a
file of the work folder, too.

The interpreter that runs the scripts is a setting, so that they can have the packages that Glue has and no others:

    LOCAL_AWS_GLUE_PYTHON   a Python with pyspark, usually of a virtual environment (default: the one that runs this)

What is not: `--additional-python-modules` must be installed there already; `--extra-jars`, MaxRetries above 0 and other
job types than `glueetl` and `pythonshell` are refused; Spark's own messages are in `<prefix>/output`, on Glue they are
in `<prefix>/error`; a security configuration and `--custom-logStream-prefix` change no name of a log; there is one
machine, so workers and capacity change nothing, and the account's limit of concurrent job runs is small
(`RUNS_PER_CORE`); an inherited PYTHONPATH is dropped, because on AWS only `--extra-py-files` are importable.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from moto.core.responses import ActionResult
from moto.glue.exceptions import (
    ConcurrentRunsExceededException,
    InvalidInputException,
    JobRunNotFoundException,
    ResourceNumberLimitExceededException,
)
from moto.glue.models import FakeJob
from moto.glue.responses import GlueResponse
from moto.moto_api._internal import mock_random

from local_aws import s3_directory, spark_accesses, spark_conf
from local_aws.environment import client_environment
from local_aws.iam import enforcement
from local_aws.iam.policies import Role
from local_aws.iam.principals import OPERATOR, Credentials
from local_aws.log_streams import FollowedLog, LogStream
from local_aws.patching import JsonValue, MotoObject, replace
from local_aws.spark_accesses import SparkAccesses

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

LOG = logging.getLogger(__name__)

DEFAULT_TIMEOUT_MINUTES: Final = 480
"""Glue 5.0 and later, https://docs.aws.amazon.com/glue/latest/dg/aws-glue-api-jobs-job.html"""

RUNS_PER_CORE: Final = 2
"""How many runs of all jobs together work at a time, as an account on AWS has a limit; more would slow each other."""

LOG_GROUP: Final = "/aws-glue/jobs"

_LOG_GROUP_PREFIX: Final = "--custom-logGroup-prefix"
_SYNCHRONIZE_SECONDS: Final = 0.5
_ACCESSES: Final = "accesses.log"
_SESSION: Final = "GlueJobRunnerSession"

FINAL_STATES: Final = frozenset({"SUCCEEDED", "FAILED", "TIMEOUT", "STOPPED"})

# Glue reads these itself, https://docs.aws.amazon.com/glue/latest/dg/aws-glue-programming-etl-glue-arguments.html;
# every other argument reaches the script, --TempDir and --job-bookmark-option among them.
MANAGED_ARGUMENTS: Final = frozenset(
    {
        "--additional-python-modules",
        "--auto-scale-within-microbatch",
        "--class",
        "--conf",
        "--customer-driver-env-vars",
        "--customer-executor-env-vars",
        "--datalake-formats",
        "--executor-cores",
        "--extra-files",
        "--extra-jars",
        "--extra-py-files",
        "--job-language",
        "--python-modules-installer-option",
        "--scriptLocation",
        "--spark-event-logs-path",
        "--use-postgres-driver",
        "--user-jars-first",
    }
)
MANAGED_PREFIXES: Final = ("--enable-", "--disable-", "--continuous-log-", "--custom-log", "--write-shuffle-")


class LaunchError(Exception):
    """A run could not be started; the message is its ErrorMessage, as Glue words it: `LAUNCH ERROR | …`."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"LAUNCH ERROR | {reason}")


def job_interpreter(environ: Mapping[str, str]) -> str:
    """The Python that runs the jobs, as the head of this module tells.

    Raises:
        ValueError: LOCAL_AWS_GLUE_PYTHON names no program.
    """
    python = environ.get("LOCAL_AWS_GLUE_PYTHON") or sys.executable
    if not os.access(python, os.X_OK):
        raise ValueError(f"LOCAL_AWS_GLUE_PYTHON is {python!r}, and there is no such program.")
    return str(Path(python).absolute())


@dataclass(eq=False)
class JobRun:
    """One run of a job; moto's Glue API reads it through `as_dict`.

    Attributes:
        timeout_minutes: minutes that the run may take once it runs; waiting in the queue does not count.
        execution_started: `time.monotonic()` of its start, None while it waits.
        execution_seconds: how long it ran, None until it has ended.
    """

    job: MotoObject
    job_run_id: str
    arguments: dict[str, str]
    request: Mapping[str, Any]
    timeout_minutes: int
    queuing: bool
    state: str = "STARTING"
    error_message: str | None = None
    started_on: datetime = field(default_factory=lambda: datetime.now(UTC))
    modified_on: datetime = field(default_factory=lambda: datetime.now(UTC))
    completed_on: datetime | None = None
    execution_started: float | None = None
    execution_seconds: float | None = None
    stop_requested: threading.Event = field(default_factory=threading.Event)
    process: subprocess.Popen[bytes] | None = None
    thread: threading.Thread | None = None

    def advance(self) -> None:
        """Nothing: moto calls this at every GetJobRun, because its own runs change state when looked at."""

    def change_state(self, state: str, error_message: str | None = None) -> None:
        """Enters `state`; at a final one the clock stops."""
        self.modified_on = datetime.now(UTC)
        if state in FINAL_STATES:
            self.completed_on = self.modified_on
            self.execution_seconds = self._elapsed()
        self.error_message = error_message
        self.state = state

    def _elapsed(self) -> float:
        return 0.0 if self.execution_started is None else time.monotonic() - self.execution_started

    def as_dict(self) -> dict[str, Any]:
        """The JobRun structure of the Glue API."""
        seconds = self._elapsed() if self.execution_seconds is None else self.execution_seconds
        optional = {
            "CompletedOn": self.completed_on,
            "ErrorMessage": self.error_message,
            "PreviousRunId": self.request.get("JobRunId"),
            "SecurityConfiguration": self._setting("SecurityConfiguration", self.job.security_configuration),
            "NotificationProperty": self._setting("NotificationProperty", self.job.notification_property),
            "MaxCapacity": self._setting("MaxCapacity", self.job.max_capacity),
            "WorkerType": self._setting("WorkerType", self.job.worker_type),
            "NumberOfWorkers": self._setting("NumberOfWorkers", self.job.number_of_workers),
        }
        return {
            "Id": self.job_run_id,
            "Attempt": 0,
            "JobName": self.job.name,
            "JobRunQueuingEnabled": self.queuing,
            "StartedOn": self.started_on,
            "LastModifiedOn": self.modified_on,
            "JobRunState": self.state,
            "Arguments": dict(self.request.get("Arguments") or {}),
            "PredecessorRuns": [],
            "ExecutionTime": int(seconds),
            "Timeout": self.timeout_minutes,
            "LogGroupName": LOG_GROUP,
            "GlueVersion": self.job.glue_version,
            "ExecutionClass": self.job.execution_class,
            **{name: value for name, value in optional.items() if value is not None},
        }

    def _setting(self, name: str, of_the_job: JsonValue) -> JsonValue:
        return self.request.get(name) or of_the_job or None


class GlueJobs:
    """Runs the jobs of moto's Glue backend as child processes.

    Every child leads a process group of its own, with its JVM in it. All of them hold the reading end of one pipe whose
    writing end only this process has: when this process is gone, even by SIGKILL, they kill their groups themselves.

    Args:
        work_dir: gets `logs/glue/<job>/<run id>.log`; `spark/<run id>/` exists while a run does; the buckets'
            directories are expected in `buckets/`.
        endpoint_url: endpoint of the embedded AWS, for the children and for fetching scripts.
        region: the region that the children see.
        seconds_per_timeout_minute: how long a minute of a Timeout lasts; the API knows whole minutes only, and a
            test cannot wait for one.
        runs_at_a_time: the account's limit of concurrent job runs, all jobs together.
    """

    def __init__(
        self,
        work_dir: Path,
        endpoint_url: str,
        *,
        region: str = "us-east-1",
        seconds_per_timeout_minute: float = 60.0,
        runs_at_a_time: int = RUNS_PER_CORE * (os.cpu_count() or 1),
    ) -> None:
        self._work_dir = work_dir.absolute()
        self._endpoint_url = endpoint_url
        self._region = region
        self._seconds_per_timeout_minute = seconds_per_timeout_minute
        self._runs_at_a_time = runs_at_a_time
        self._settings = spark_conf.SparkSettings.from_environment(os.environ)
        self._python = job_interpreter(os.environ)
        self._s3 = self._s3_client(OPERATOR)
        self._lock = threading.Lock()
        self._runs: list[JobRun] = []
        self._closed = False
        self._lifeline, self._lifeline_writer = os.pipe()
        self._writer_open = True
        # A child that is only forked would keep the writing end; one that is executed never has it (PEP 446).
        os.register_at_fork(after_in_child=self._close_writer)

    def _s3_client(self, credentials: Credentials) -> S3Client:
        # A session of its own: boto3's default one is not thread safe. Without the user's profile, which may not exist.
        core = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
        client: S3Client = boto3.Session(botocore_session=core).client(
            "s3",
            endpoint_url=self._endpoint_url,
            region_name=self._region,
            **credentials.for_boto3(),
            config=Config(proxies={}),
        )
        return client

    def install(self) -> None:
        """Makes this object run the jobs of moto in this process, in the place of one installed before."""
        global _active
        _active = self
        _patch_moto()

    def close(self) -> None:
        """Kills every run with its JVM, waits until they are gone, and gives moto its own behaviour back."""
        global _active
        if _active is self:
            _active = None
        with self._lock:
            self._closed = True
            runs = [run for run in self._runs if run.state not in FINAL_STATES]
        for run in runs:
            self._stop(run)
        for run in runs:
            if run.thread:
                run.thread.join()
        if self._writer_open:
            self._close_writer()
            os.close(self._lifeline)

    def _close_writer(self) -> None:
        if self._writer_open:
            self._writer_open = False
            os.close(self._lifeline_writer)

    def start(self, job: MotoObject, request: Mapping[str, Any]) -> JobRun:
        """Starts a run, or queues it.

        Args:
            job: moto's job.
            request: the parameters of StartJobRun.

        Raises:
            ConcurrentRunsExceededException: MaxConcurrentRuns is reached and the run may not wait.
            ResourceNumberLimitExceededException: the account's limit is reached and the run may not wait.
            InvalidInputException: the job is of a kind that is not emulated.
        """
        _refuse_what_is_not_emulated(job)
        queuing = request.get("JobRunQueuingEnabled")
        run = JobRun(
            job=job,
            job_run_id=f"jr_{mock_random.get_random_hex(64)}",
            arguments={
                **job.default_arguments,
                **(request.get("Arguments") or {}),
                **(job.non_overridable_arguments or {}),
            },
            request=request,
            timeout_minutes=request.get("Timeout") or job.timeout or DEFAULT_TIMEOUT_MINUTES,
            queuing=_is_queuing(job) if queuing is None else queuing,
        )
        with self._lock:
            if self._closed:
                raise InvalidInputException("StartJobRun", "The embedded AWS is shutting down.")
            if self._may_start(job):
                self._launch(run)
            elif run.queuing:
                run.change_state("WAITING")
            elif self._is_at_its_limit(job):
                raise ConcurrentRunsExceededException(f"Concurrent runs exceeded for {job.name}")
            else:
                raise ResourceNumberLimitExceededException(
                    f"{self._runs_at_a_time} job runs are at work, which is the limit of this account"
                )
            self._runs.append(run)
            job.job_runs.insert(0, run)  # GetJobRuns lists the newest first
        return run

    def stop(self, job: MotoObject, run_id: str) -> None:
        """Stops a run; it is STOPPED once its processes are gone.

        Raises:
            JobRunNotFoundException: the job has no such run.
            InvalidInputException: the run has ended.
        """
        run = next((run for run in job.job_runs if run.job_run_id == run_id), None)
        if not isinstance(run, JobRun):
            raise JobRunNotFoundException(run_id)
        if run.state in FINAL_STATES:
            raise InvalidInputException("BatchStopJobRun", f"Job run {run_id} has ended already: {run.state}.")
        self._stop(run)

    def _stop(self, run: JobRun) -> None:
        with self._lock:
            run.stop_requested.set()
            if run.state == "WAITING":
                run.change_state("STOPPED")
            elif run.state not in FINAL_STATES:
                run.change_state("STOPPING")
            if run.process:
                _kill_group(run.process)

    def _may_start(self, job: MotoObject) -> bool:
        return len(self._at_work()) < self._runs_at_a_time and not self._is_at_its_limit(job)

    def _is_at_its_limit(self, job: MotoObject) -> bool:
        limit: int = job.execution_property.get("MaxConcurrentRuns", 1)
        return sum(run.job is job for run in self._at_work()) >= limit

    def _at_work(self) -> list[JobRun]:
        return [run for run in self._runs if run.state not in {*FINAL_STATES, "WAITING"}]

    def _launch(self, run: JobRun) -> None:
        run.state = "STARTING"
        run.execution_started = time.monotonic()
        run.thread = threading.Thread(target=self._execute, args=(run,), name=f"glue {run.job_run_id}", daemon=True)
        run.thread.start()

    def _execute(self, run: JobRun) -> None:
        folder = self._work_dir / "spark" / run.job_run_id
        try:
            state, message = self._run_process(run, folder)
        except LaunchError as error:
            state, message = "FAILED", str(error)
        except Exception as error:
            LOG.exception("The run %s of %s broke", run.job_run_id, run.job.name)
            state, message = "FAILED", f"The embedded AWS failed to run the job: {error}"
        shutil.rmtree(folder, ignore_errors=True)
        with self._lock:
            run.change_state("STOPPED" if run.stop_requested.is_set() else state, message)
            self._launch_waiting()

    def _launch_waiting(self) -> None:
        for run in self._runs:
            if run.state == "WAITING" and not self._closed and self._may_start(run.job):
                self._launch(run)

    def _run_process(self, run: JobRun, folder: Path) -> tuple[str, str | None]:
        """Runs the script to its end; returns the final state and the ErrorMessage."""
        credentials = _credentials(run)
        system_log = self._log_stream(run, "error", credentials)
        try:
            command = self._prepare(run, folder, credentials)
        except LaunchError as error:
            system_log.put([str(error)])
            raise
        state, message = self._run_command(command, run, folder, credentials)
        state = "STOPPED" if run.stop_requested.is_set() else state
        system_log.put([f"Job run {run.job_run_id} of {run.job.name} is {state}", *([message] if message else [])])
        return state, message

    def _run_command(
        self, command: list[str], run: JobRun, folder: Path, credentials: Credentials
    ) -> tuple[str, str | None]:
        log = self._work_dir / "logs" / "glue" / quote(run.job.name, safe=" ") / f"{run.job_run_id}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output, self._lock:
            if run.stop_requested.is_set():
                return "STOPPED", None
            run.process = process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder / "work",
                env=self._environment(folder, credentials),
                start_new_session=True,
                pass_fds=(self._lifeline,),
            )
            run.change_state("RUNNING")
        accesses = SparkAccesses(folder / _ACCESSES, Role(_role_arn(run.job), _SESSION))
        followed = FollowedLog(log, self._log_stream(run, "output", credentials))
        try:
            status = self._wait(process, run.timeout_minutes * self._seconds_per_timeout_minute, accesses, followed)
            accesses.check()
        except enforcement.AccessDeniedError as error:
            return "FAILED", f"AccessDeniedException: {error}"
        finally:
            # Whatever the script has started and left behind, its JVM above all.
            _kill_group(process)
            process.wait()
            s3_directory.synchronize()
            followed.finish()
        if status is None:
            return "TIMEOUT", f"Job run exceeded its timeout of {run.timeout_minutes} minutes."
        return ("SUCCEEDED", None) if status == 0 else ("FAILED", _error_message(folder, status))

    def _log_stream(self, run: JobRun, kind: str, credentials: Credentials) -> LogStream:
        """The stream of a run in its log group of a kind, `output` or `error`.

        https://docs.aws.amazon.com/glue/latest/dg/monitor-continuous-logging.html
        """
        group = f"{run.arguments.get(_LOG_GROUP_PREFIX, LOG_GROUP)}/{kind}"
        return LogStream(self._endpoint_url, self._region, credentials, group=group, name=run.job_run_id)

    @staticmethod
    def _wait(
        process: subprocess.Popen[bytes], seconds: float, accesses: SparkAccesses, log: FollowedLog
    ) -> int | None:
        """Waits for the child's exit status, None after `seconds`.

        The S3 API and CloudWatch Logs learn meanwhile of what it writes.

        Raises:
            AccessDeniedError: the job's role may not access what Spark has accessed.
        """
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                return process.wait(min(left, _SYNCHRONIZE_SECONDS))
            except subprocess.TimeoutExpired:
                accesses.check()
                s3_directory.synchronize(settled_seconds=_SYNCHRONIZE_SECONDS)
                log.follow()
        return None

    def _prepare(self, run: JobRun, folder: Path, credentials: Credentials) -> list[str]:
        """Fetches what the run needs into its folder, as its role may; returns the command of its process."""
        for name in ("work", "tmp", "python"):
            (folder / name).mkdir(parents=True)
        s3 = self._s3_client(credentials)
        script = _fetch(s3, run.arguments.get("--scriptLocation") or run.job.command["ScriptLocation"], folder)
        for uri in _uris(run.arguments, "--extra-py-files"):
            _fetch(s3, uri, folder / "python")
        for uri in _uris(run.arguments, "--extra-files"):
            _fetch(s3, uri, folder / "work")
        request = {
            "script": str(script),
            "arguments": script_arguments(run),
            "gateway_command": self._spark_gateway(run, folder) if _is_spark(run.job) else None,
            "error_file": str(folder / "error.txt"),
            "lifeline": self._lifeline,
            "wait_for_gateway": False,
        }
        request_file = folder / "request.json"
        request_file.write_text(json.dumps(request), encoding="utf-8")
        return [self._python, str(Path(__file__).with_name("glue_child.py")), str(request_file)]

    def _spark_gateway(self, run: JobRun, folder: Path) -> list[str]:
        names = [bucket["Name"] for bucket in self._s3.list_buckets()["Buckets"]]
        buckets = {name: self._work_dir / "buckets" / name for name in names}
        for directory in buckets.values():
            directory.mkdir(parents=True, exist_ok=True)
        properties = spark_conf.spark_properties(
            self._settings,
            buckets=buckets,
            scratch=folder,
            overrides=spark_overrides(run.arguments.get("--conf", "")),
        )
        conf_dir = folder / "spark-conf"
        logging = spark_accesses.logging_properties(folder / _ACCESSES)
        spark_conf.write_spark_conf(conf_dir, properties, logging=logging)
        try:
            java_home = spark_conf.find_java_home(os.environ)
        except spark_conf.JavaNotFoundError as error:
            raise LaunchError(str(error)) from error
        archive = spark_conf.archive_options(self._settings, java_home)
        return spark_conf.gateway_command(java_home, conf_dir, properties, archive)

    def _environment(self, folder: Path, credentials: Credentials) -> dict[str, str]:
        """The environment of a run: this process's, without its AWS configuration and import paths."""
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYSPARK_", "PYTHON"))
        }
        packages = folder / "python"
        importable = [str(packages), *sorted(str(path) for path in packages.iterdir() if path.suffix != ".py")]
        return {
            **inherited,
            **client_environment(self._endpoint_url, self._region, credentials),
            "PYTHONPATH": ":".join(importable),
            "PYTHONUNBUFFERED": "1",
            "PYSPARK_PYTHON": self._python,
            "PYSPARK_DRIVER_PYTHON": self._python,
            "SPARK_CONF_DIR": str(folder / "spark-conf"),
            "SPARK_LOCAL_DIRS": str(folder / "tmp"),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "TMPDIR": str(folder / "tmp"),
            "TZ": "UTC",
        } | self._java_environment()

    def _java_environment(self) -> dict[str, str]:
        try:
            java_home = spark_conf.find_java_home(os.environ)
        except spark_conf.JavaNotFoundError:
            return {}  # a job without Spark needs none; one with Spark has failed before
        return {"JAVA_HOME": str(java_home), "SPARK_HOME": str(spark_conf.spark_home())}


_active: GlueJobs | None = None

_QUEUING: Final = "job_run_queuing_enabled"
"""An attribute of moto's jobs that moto itself does not keep."""


def script_arguments(run: JobRun) -> list[str]:
    """What follows the script in sys.argv on Glue: every argument that Glue does not read itself, and the run's ids."""
    arguments: list[str] = []
    for name, value in run.arguments.items():
        if name not in MANAGED_ARGUMENTS and not name.startswith(MANAGED_PREFIXES):
            arguments += [name, value]
    job_id = "j_" + hashlib.sha256(run.job.arn.encode()).hexdigest()
    return [*arguments, "--JOB_ID", job_id, "--JOB_RUN_ID", run.job_run_id, "--JOB_NAME", run.job.name]


def spark_overrides(conf: str) -> dict[str, str]:
    """The properties in Glue's argument `--conf`: `a=1 --conf b=2`.

    Raises:
        LaunchError: a part is not of the form name=value.
    """
    properties = {}
    for part in filter(None, (part.strip() for part in conf.split("--conf"))):
        name, equals, value = part.partition("=")
        if not equals:
            raise LaunchError(f"--conf holds {part!r}, which is not of the form name=value.")
        properties[name.strip()] = value.strip()
    return properties


def _refuse_what_is_not_emulated(job: MotoObject) -> None:
    kind = job.command.get("Name")
    if kind not in {"glueetl", "pythonshell"}:
        raise InvalidInputException("StartJobRun", f"Job {job.name} is of type {kind!r}: not emulated by local_aws.")
    if job.max_retries:
        raise InvalidInputException("StartJobRun", f"Job {job.name} has MaxRetries: not emulated by local_aws, set 0.")
    if "--extra-jars" in job.default_arguments:
        raise InvalidInputException("StartJobRun", f"Job {job.name} has --extra-jars: not emulated by local_aws.")


def _credentials(run: JobRun) -> Credentials:
    """What a run asks with: the role of its job.

    Raises:
        LaunchError: Glue may not assume the role.
    """
    try:
        return enforcement.assume(
            _role_arn(run.job), service="glue.amazonaws.com", source_arn=run.job.arn, session=_SESSION
        )
    except enforcement.AccessDeniedError as error:
        raise LaunchError(str(error)) from error


def _role_arn(job: MotoObject) -> str:
    """The role of a job, which may be given by its name."""
    role: str = job.role
    return role if role.startswith("arn:") else f"arn:aws:iam::{job.arn.split(':')[4]}:role/{role}"


def _is_spark(job: MotoObject) -> bool:
    return bool(job.command["Name"] == "glueetl")


def _is_queuing(job: MotoObject) -> bool:
    return bool(getattr(job, _QUEUING, False))


def _uris(arguments: Mapping[str, str], name: str) -> list[str]:
    return [uri.strip() for uri in arguments.get(name, "").split(",") if uri.strip()]


def _fetch(s3: S3Client, uri: str, folder: Path) -> Path:
    """Downloads an object into the folder, under its own name.

    Raises:
        LaunchError: there is no such object, or the URI is none of S3.
    """
    parts = urlsplit(uri, allow_fragments=False)
    key = uri.removeprefix(f"{parts.scheme}://{parts.netloc}/")
    if parts.scheme not in {"s3", "s3a"} or not key:
        raise LaunchError(f"{uri} is no s3:// address of an object.")
    target = folder / PurePosixPath(key).name
    try:
        s3.download_file(parts.netloc, key, str(target))
    except (ClientError, BotoCoreError) as error:
        raise LaunchError(f"File cannot be read: {uri}: {error}") from error
    return target


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kills the child and everything in its process group; none is left to kill when all have ended."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # macOS answers EPERM for a group of which only zombies are left
        return


def _error_message(folder: Path, status: int) -> str:
    error_file = folder / "error.txt"
    if error_file.exists():
        return error_file.read_text(encoding="utf-8")
    if status < 0:
        return f"Command failed: the process was killed by {signal.Signals(-status).name}"
    return f"Command failed with exit code {status}"


def _patch_moto() -> None:
    """Gives moto's Glue what it lacks: its runs execute nothing (tests/local/test_moto_canaries_s3_glue.py)."""
    if GlueResponse.start_job_run is _start_job_run:
        return
    global _moto_start_job_run, _moto_create_job, _moto_job_as_dict
    _moto_start_job_run = replace(GlueResponse, "start_job_run", _start_job_run)
    _moto_create_job = replace(GlueResponse, "create_job", _create_job)
    _moto_job_as_dict = replace(FakeJob, "as_dict", _job_as_dict)
    GlueResponse.batch_stop_job_run = _batch_stop_job_run  # type: ignore[attr-defined]


_moto_start_job_run: Callable[..., ActionResult]
_moto_create_job: Callable[..., ActionResult]
_moto_job_as_dict: Callable[..., dict[str, Any]]


def _start_job_run(self: GlueResponse) -> ActionResult:
    if _active is None:
        return _moto_start_job_run(self)
    job = self.glue_backend.get_job(self.parameters["JobName"])
    return ActionResult({"JobRunId": _active.start(job, self.parameters).job_run_id})


def _create_job(self: GlueResponse) -> ActionResult:
    result = _moto_create_job(self)
    job = self.glue_backend.get_job(self.parameters["Name"])
    setattr(job, _QUEUING, bool(self.parameters.get("JobRunQueuingEnabled")))
    return result


def _job_as_dict(self: FakeJob) -> dict[str, Any]:
    return {**_moto_job_as_dict(self), "JobRunQueuingEnabled": _is_queuing(self)}


def _batch_stop_job_run(self: GlueResponse) -> ActionResult:
    job_name: str = self.parameters["JobName"]
    job = self.glue_backend.get_job(job_name)
    stopped, errors = [], []
    for run_id in self.parameters["JobRunIds"]:
        entry = {"JobName": job_name, "JobRunId": run_id}
        try:
            if _active is None:
                raise JobRunNotFoundException(run_id)
            _active.stop(job, run_id)
            stopped.append(entry)
        except (JobRunNotFoundException, InvalidInputException) as error:
            detail = {"ErrorCode": error.error_type, "ErrorMessage": error.message}
            errors.append({**entry, "ErrorDetail": detail})
    return ActionResult({"SuccessfulSubmissions": stopped, "Errors": errors})
