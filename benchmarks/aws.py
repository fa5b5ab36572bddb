"""An embedded AWS in which the contenders run: our two jobs by their real entries, other Spark scripts likewise."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import boto3
from moto.moto_api._internal.models import moto_api_backend

from benchmarks.dataset import Dataset
from benchmarks.flat_rows import published
from benchmarks.job_log import Phases, phases
from benchmarks.kpi_rows import TOP_GENRES, TOP_SONGS, canonical
from benchmarks.memory import peak_of_children
from benchmarks.object_seconds import ObjectSeconds
from benchmarks.tables import KPIS, LEDGER, create_tables
from glue_scripts import names
from glue_scripts.accepted_files import AcceptedFiles
from glue_scripts.kpi_sql import KPI_CODE
from glue_scripts.ledger import Ledger
from glue_scripts.objects import file_name
from local_aws import dynamodb_transactions, s3_directory
from local_aws.glue_jobs import FINAL_STATES, GlueJobs
from local_aws.iam.principals import ANYBODY
from local_aws.moto_server import MotoServer
from stacks.packaging import build_zip

ROOT: Final = Path(__file__).parents[1]
BUCKET: Final = "music"
_POLL_SECONDS: Final = 0.2
_SETTINGS: Final = {
    "environment": "benchmark",
    "data_bucket": BUCKET,
    "ledger_table": LEDGER,
    "kpis_table": KPIS,
    "tolerances": "{}",
    "error_days": "90",
    "runbook": "docs/runbook.md",
    "kpi_code": KPI_CODE,
    "top_songs": str(TOP_SONGS),
    "top_genres": str(TOP_GENRES),
    "dpus": "2",
}

# The embedded AWS shortens small runs by the first compiler tier alone and a collector of one thread.
# Glue's JVM has both tiers, and a collector for several cores.
_JVM: Final = "spark.driver.extraJavaOptions=-XX:TieredStopAtLevel=4 -XX:-UseSerialGC -XX:+UseParallelGC"


class JobFailedError(Exception):
    """A job run did not succeed; holds its log."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A job run that has succeeded.

    Attributes:
        seconds: of the whole process.
        peak_mib: most resident memory of its processes.
        object_seconds: in which it read or wrote an object.
        phases: of the KPI job.
    """

    seconds: float
    peak_mib: float
    object_seconds: float = 0.0
    phases: Phases | None = None


class BenchAws:
    """An account with a bucket, the tables and the packages; `serving` makes one.

    Args:
        work_dir: where its files are.
        endpoint_url: where it answers.
        objects: measures the requests for objects.
    """

    def __init__(self, work_dir: Path, endpoint_url: str, objects: ObjectSeconds) -> None:
        self._work_dir = work_dir
        self._objects = objects
        session = boto3.Session(**ANYBODY.for_boto3(), region_name="us-east-1")
        self._glue = session.client("glue", endpoint_url=endpoint_url)
        self._dynamodb = session.resource("dynamodb", endpoint_url=endpoint_url)
        session.client("s3", endpoint_url=endpoint_url).create_bucket(Bucket=BUCKET)
        create_tables(self._dynamodb)
        build_zip([ROOT / name for name in ("glue_scripts", "validators", "benchmarks")], self._path("packages.zip"))

    def stage(self, data: Dataset, batch: str, datasets: Sequence[str] = names.DATASETS) -> None:
        """Puts the files of some datasets where the state machine puts them, and their manifest beside them."""
        entries = []
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for dataset, path in [(name, path) for name in datasets for path in data.files(name)]:
            key = f"{names.RAW_PREFIX}{dataset}/{batch}/{path.name}"
            staged = f"{names.PROCESSING_PREFIX}{batch}/{file_name(key, 'v1')}"
            shutil.copyfile(path, self._path(staged))
            size = path.stat().st_size
            entry = {"key": key, "version_id": "v1", "size": size, "etag": "etag"}
            entries.append({**entry, "last_modified": moment})
        manifest = {
            "format": names.MANIFEST_FORMAT,
            "execution_arn": f"arn:aws:states:us-east-1:123456789012:execution:pipeline:{batch}",
            "files": entries,
        }
        self._path(f"{names.PROCESSING_PREFIX}{batch}/{names.MANIFEST_NAME}").write_text(json.dumps(manifest))

    def validate(self, batch: str) -> Run:
        """Runs the validation job over a batch."""
        manifest = f"s3://{BUCKET}/{names.PROCESSING_PREFIX}{batch}/{names.MANIFEST_NAME}"
        given = {name: _SETTINGS[name] for name in names.VALIDATE_BATCH_JOB_ARGUMENTS}
        return self._run(ROOT / "glue_scripts/validate_batch.py", {**given, "manifest_uri": manifest})

    def compute(self, batch: str) -> Run:
        """Runs the KPI job over what the validation job has accepted of a batch."""
        accepted = f"s3://{BUCKET}/{names.PROCESSING_PREFIX}{batch}/{names.ACCEPTED_NAME}"
        given = {name: _SETTINGS[name] for name in names.COMPUTE_KPIS_JOB_ARGUMENTS}
        return self._run(ROOT / "glue_scripts/compute_kpis.py", {**given, "accepted_uri": accepted}, has_phases=True)

    def recompute(self, days: Sequence[str]) -> Run:
        """Runs the KPI job over days as they are."""
        batch = f"recompute-{time.monotonic_ns()}"
        accepted = AcceptedFiles(execution_arn=batch, files=[]).document() | {"recompute": list(days)}
        path = self._path(f"{names.PROCESSING_PREFIX}{batch}/{names.ACCEPTED_NAME}")
        path.write_text(json.dumps(accepted), encoding="utf-8")
        return self.compute(batch)

    @property
    def ledger(self) -> Ledger:
        """The ledger."""
        return Ledger(self._dynamodb.Table(LEDGER))

    @property
    def bucket_folder(self) -> Path:
        """Where the objects of the bucket are, as files."""
        return self._path("x").parent

    def run_script(self, script: str, data: Path, result: Path) -> Run:
        """Runs a Spark script of this package."""
        return self._run(ROOT / "benchmarks" / script, {"data": str(data), "result": str(result)})

    def kpi_rows(self) -> list[Any]:
        """All rows of table `kpis`, for the comparison."""
        return canonical(published(self._dynamodb.Table(KPIS)))

    def failed_rows(self) -> dict[str, dict[str, int]]:
        """By dataset `rows` and failed rows by rule, summed over the reports of all files."""
        counts: dict[str, dict[str, int]] = {}
        for path in sorted(self._path(names.REPORTS_PREFIX).rglob("*.json")):
            report = json.loads(path.read_text(encoding="utf-8"))
            of_dataset = counts.setdefault(report["dataset"], {"rows": 0})
            of_dataset["rows"] += report["rows"]
            for rule in report["rules"]:
                of_dataset[rule["rule"]] = of_dataset.get(rule["rule"], 0) + rule.get("failed", 0)
        return counts

    def _run(self, script: Path, arguments: Mapping[str, str], *, has_phases: bool = False) -> Run:
        name = f"{script.stem}-{time.monotonic_ns()}"
        shutil.copyfile(script, self._path(f"{name}.py"))
        self._glue.create_job(
            Name=name,
            Role="role",
            GlueVersion="5.1",
            Command={"Name": "glueetl", "ScriptLocation": f"s3://{BUCKET}/{name}.py"},
            DefaultArguments={
                "--extra-py-files": f"s3://{BUCKET}/packages.zip",
                "--conf": _JVM,
                **{f"--{argument}": value for argument, value in arguments.items()},
            },
        )
        # What was written past the API is announced before the time runs.
        s3_directory.synchronize()
        objects_before = self._objects.seconds
        with peak_of_children() as peak:
            started = time.time()
            run_id = self._glue.start_job_run(JobName=name)["JobRunId"]
            while (state := self._state(name, run_id)) not in FINAL_STATES:
                time.sleep(_POLL_SECONDS)
            ended = time.time()
        log = (self._work_dir / "logs/glue" / name / f"{run_id}.log").read_text(encoding="utf-8")
        if state != "SUCCEEDED":
            raise JobFailedError(f"{script.name}: {state}\n{log}")
        parts = phases(log.splitlines(), started, ended) if has_phases else None
        return Run(
            seconds=ended - started,
            peak_mib=peak.mebibytes,
            object_seconds=self._objects.seconds - objects_before,
            phases=parts,
        )

    def _state(self, name: str, run_id: str) -> str:
        return self._glue.get_job_run(JobName=name, RunId=run_id)["JobRun"]["JobRunState"]

    def _path(self, key: str) -> Path:
        path = self._work_dir / "buckets" / BUCKET / key
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


@contextmanager
def serving(work_dir: Path) -> Iterator[BenchAws]:
    """Serves an empty account from an empty folder."""
    work_dir.mkdir(parents=True)
    moto_api_backend.reset()
    s3_directory.install(work_dir / "buckets")
    dynamodb_transactions.install()
    objects = ObjectSeconds(BUCKET)
    server = MotoServer(0, work_dir / "requests.log", guard=objects.guard)
    try:
        aws = BenchAws(work_dir, server.endpoint_url, objects)
        jobs = GlueJobs(work_dir, server.endpoint_url)
        jobs.install()
        try:
            yield aws
        finally:
            jobs.close()
    finally:
        server.close()
        moto_api_backend.reset()
        s3_directory.uninstall()
