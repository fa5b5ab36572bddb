"""The jobs' own code with a real boto3, whose calls are noted and fail as a test says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_plus

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse, HeadersDict
from botocore.exceptions import ReadTimeoutError
from pyspark import SparkContext

from glue_scripts import names, object_store
from glue_scripts.accepted_files import AcceptedFiles
from glue_scripts.batch_judge import BatchJudge
from glue_scripts.failures import describe
from glue_scripts.file_metrics import measure_freshness, measure_verdicts
from glue_scripts.kpi_batch import KpiBatch
from glue_scripts.kpi_sql import KPI_CODE
from glue_scripts.kpi_table import KpiTable
from glue_scripts.ledger import Ledger
from glue_scripts.merging import StoredRuns, merge_runs
from glue_scripts.metrics import Metrics, metered
from glue_scripts.object_store import ObjectStore
from glue_scripts.objects import Location
from glue_scripts.publication import Publisher
from glue_scripts.spread import task_share
from glue_scripts.sql_engine import SqlEngine
from glue_scripts.staged_files import check_batch, read_manifest
from glue_scripts.taken_batches import StoredBatches
from glue_scripts.validation import Validation
from tests import fault_table
from tests.workflow.pipeline import File, Pipeline, session_of
from validators.reports import EmailSettings

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

TOP: Final = 3


@dataclass(frozen=True)
class Call:
    """A call of AWS that a caller makes.

    Attributes:
        operation: service and operation as IAM writes them: `s3:GetObject`.
        about: a part of the request's address, range or body that tells it from others of the operation.
        purpose: what for, in words.
    """

    operation: str
    about: str
    purpose: str

    def is_made_by(self, operation: str, subject: str) -> bool:
        """Whether a request is this call."""
        return operation == self.operation and self.about in subject


@dataclass
class Wire:
    """What a job's boto3 sends: noted, and made to fail.

    Attributes:
        seen: operation and subject of each request.
        failing: the call that fails, if any.
        error: how: an error code, or `timeout`.
        left: how often it still fails; None: every time.
        is_made_up: the call was made again and let through.
    """

    seen: list[tuple[str, str]] = field(default_factory=list)
    failing: Call | None = None
    error: str = ""
    left: int | None = 0
    is_made_up: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, call: Call, error: str, times: int | None) -> None:
        """Make a call fail."""
        self.failing, self.error, self.left = call, error, times

    def fail_as(self, call: Call, error: str, times: str) -> None:
        """Make a call fail: how and how often as fault_table.ERRORS and fault_table.TIMES name it."""
        how = "timeout" if error == "no answer" else fault_table.code(call.operation, error)
        self.fail(call, how, 1 if times == "once" else None)

    def lift(self) -> None:
        """End the fault: the cause is gone."""
        self.failing = None

    def session(self, environment: Mapping[str, str]) -> Any:  # noqa: ANN401
        """A boto3 session of a job run."""
        return self.watched(session_of(environment))

    def watched(self, session: Any) -> Any:  # noqa: ANN401
        """A session whose calls go through here."""
        session.events.register("before-send", self._before_send)
        return session

    def _before_send(self, request: AWSPreparedRequest, event_name: str, **_: object) -> AWSResponse | None:
        service, operation = event_name.removeprefix("before-send.").split(".")
        name, subject = f"{service}:{operation}", _subject(request)
        with self._lock:
            self.seen.append((name, subject))
            if not self.failing or not self.failing.is_made_by(name, subject):
                return None
            if self.left == 0:
                self.is_made_up = True
                return None
            self.left = None if self.left is None else self.left - 1
        if self.error == "timeout":
            raise ReadTimeoutError(endpoint_url=request.url)
        return _refusal(request, name, self.error)


def fate_of(
    arn: str,
    pipeline: Pipeline,
    wire: Wire,
    *,
    files: Sequence[File],
    job: str,
    state: str,
    told: Sequence[str],
) -> tuple[Mapping[str, Any], str]:
    """Waits for an execution in which a call of a job fails; one that failed is looked at, and redriven.

    Args:
        arn: the execution.
        pipeline: the deployed pipeline.
        wire: what the job's boto3 goes through.
        files: of the execution; none of them is lost.
        job: name of the job.
        state: the state that runs it.
        told: of these, the failure e-mail says at least one.

    Returns:
        The execution as it ended, and the outcome as docs/faults.md names it.
    """
    ended: Mapping[str, Any] = pipeline.ended(arn)
    assert wire.left != 1, "the call was not made"
    runs = pipeline.jobs_run().count(job)
    outcome = "job again" if runs == 2 else "retried" if wire.is_made_up else "goes on"
    if ended["status"] == "FAILED":
        assert runs == 2
        (email,) = pipeline.failure_emails(arn)
        assert f"State:     {state}" in email["message"]
        assert any(text in email["message"] for text in told)
        assert all(pipeline.is_in_raw(file) for file in files)
        wire.lift()
        ended, outcome = pipeline.redrive(arn), "redriven"
    return ended, outcome


class KpiJob:
    """The KPI job as its entry puts it together.

    Args:
        pipeline: the deployed pipeline.
        wire: what its boto3 goes through.
    """

    def __init__(self, pipeline: Pipeline, wire: Wire) -> None:
        self._pipeline, self._wire = pipeline, wire
        self._runs = 0

    def run(self, arguments: Mapping[str, str]) -> str:
        """One run; returns its final state."""
        self._runs += 1
        return outcome_of(self._pipeline, self._pipeline.compute_job, lambda: self._load(arguments))

    def _load(self, arguments: Mapping[str, str]) -> None:
        pipeline = self._pipeline
        session = self._wire.session(pipeline.environment)
        given = {"endpoint_url": pipeline.s3.meta.endpoint_url}
        metrics = Metrics(session.client("cloudwatch", **given), "dev")
        with metered(metrics, job=names.COMPUTE_KPIS, dpus=2.0):
            dynamodb = session.resource("dynamodb", **given)
            ledger = Ledger(dynamodb.Table(pipeline.ledger.name))
            kpi_table = KpiTable(dynamodb.Table(pipeline.kpis.name), sleep=lambda _: None)
            run = f"{pipeline.folder}{self._runs}"
            settings = {"top_songs": TOP, "top_genres": TOP}
            engine = SqlEngine(
                objects=ObjectStore(pipeline.bucket),
                context=_no_spark,
                **settings,
                share=task_share(),
            )
            made_with = {"kpi_code": KPI_CODE, "kpi_settings": settings}
            batch = KpiBatch(
                publisher=Publisher(ledger, kpi_table, engine.compute, made_with),
                known_tracks=engine.known_tracks,
                batches=StoredBatches(engine.objects),
                run=run,
            )
            with object_store_on(session.client("s3", **given, config=object_store._CONFIG)):
                accepted = AcceptedFiles.read(engine.objects, Location.of_uri(arguments["--accepted_uri"]))
                loaded = batch.load(accepted)
                measure_freshness(metrics, loaded.files, datetime.now(UTC))
                lake = StoredRuns(objects=engine.objects, context=_no_spark, share=engine.share)
                merge_runs(ledger, lake, loaded.days, run)


class ValidationJob:
    """The validation job as its entry puts it together, with files that are judged in this process.

    Args:
        pipeline: the deployed pipeline.
        wire: what its boto3 goes through.
        tolerances: of the first run, the second and so on; the last ones hold for all that follow.
    """

    def __init__(self, pipeline: Pipeline, wire: Wire, tolerances: Sequence[Mapping[str, float]] = ({},)) -> None:
        self._pipeline, self._wire, self._tolerances = pipeline, wire, tolerances
        self._runs = 0

    def run(self, arguments: Mapping[str, str]) -> str:
        """One run; returns its final state."""
        self._runs += 1
        return outcome_of(self._pipeline, self._pipeline.validate_job, lambda: self._validate(arguments))

    def _validate(self, arguments: Mapping[str, str]) -> None:
        pipeline = self._pipeline
        session = self._wire.session(pipeline.environment)
        given = {"endpoint_url": pipeline.s3.meta.endpoint_url}
        metrics = Metrics(session.client("cloudwatch", **given), "dev")
        with metered(metrics, job=names.VALIDATE_BATCH, dpus=2.0):
            s3 = session.client("s3", **given)
            ledger = Ledger(session.resource("dynamodb", **given).Table(pipeline.ledger.name))
            manifest = read_manifest(s3, Location.of_uri(arguments["--manifest_uri"]))
            checked = check_batch(s3, ledger, manifest)
            validation = Validation(
                s3=s3,
                ledger=ledger,
                judge=BatchJudge(
                    s3=s3,
                    ledger=ledger,
                    context=_no_spark,
                    tolerances=self._tolerances[: self._runs][-1],
                    run=f"{pipeline.folder.replace('/', '-')}{self._runs}",
                    manifest=manifest.location,
                ),
                emails=EmailSettings(environment="dev", bucket=pipeline.bucket, error_days=90, runbook="runbook"),
                manifest=manifest.location,
            )
            with object_store_on(session.client("s3", **given, config=object_store._CONFIG)):
                measure_verdicts(metrics, validation.validate(checked))


def _no_spark() -> SparkContext:
    raise AssertionError("a batch of the tests is not so large that Spark is needed")


@contextmanager
def object_store_on(s3: S3Client) -> Iterator[None]:
    """Let every `ObjectStore` of this process use a client, in place of one of the environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(object_store, "_client", lambda: s3)
        yield


def outcome_of(pipeline: Pipeline, job: str, work: Callable[[], object]) -> str:
    """The final state of a job run that does some work; what failed goes into its ErrorMessage as a job writes it."""
    pipeline.glue.error_messages.pop(job, None)
    try:
        work()
    except Exception as error:  # noqa: BLE001 - as SafeFailure does at the end of every job
        pipeline.glue.error_messages[job] = f"JobFailedError: {describe(error)}"
        return "FAILED"
    return "SUCCEEDED"


def _subject(request: AWSPreparedRequest) -> str:
    body = request.body if isinstance(request.body, bytes) else b""
    part = request.headers.get("Range", "")
    return f"{unquote_plus(str(request.url))} {part} {unquote_plus(body.decode(errors='replace'))}"


def _refusal(request: AWSPreparedRequest, operation: str, code: str) -> AWSResponse:
    """An error as the service's protocol writes it."""
    status = {
        "SlowDown": 503,
        "InternalError": 500,
        "InternalServerError": 500,
        "InternalServiceFault": 500,
        "AccessDenied": 403,
    }.get(code, 400)
    message = f"the test makes {operation} fail"
    if not operation.startswith("dynamodb:"):
        error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        content = (error if operation.startswith("s3:") else f"<ErrorResponse>{error}</ErrorResponse>").encode()
    else:
        content = f'{{"__type": "{code}", "message": "{message}"}}'.encode()
    headers = HeadersDict({"x-amzn-errortype": code, "x-amzn-requestid": "1"})
    return AWSResponse(request.url, status, headers, _Raw(content))  # type: ignore[arg-type]


class _Raw:
    """The body as urllib3 hands it over."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, **_: object) -> Any:  # noqa: ANN401
        yield self._content

    def read(self, *_: object, **__: object) -> bytes:
        content, self._content = self._content, b""
        return content
