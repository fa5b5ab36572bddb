"""The two Glue jobs: what they run, on what, with which arguments."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path

import pytest

from glue_scripts import names
from stacks.wheels import REQUIREMENTS, archive_name, read_wheels, wheels_of
from tests.infrastructure.templates import Deployment, Properties, properties, text

ROOT = Path(__file__).parents[2]
JOBS = ("validate-batch", "compute-kpis")

SPARK_OF_GLUE = {"5.0": "3.5.4", "5.1": "3.5.6", "6.0": "4.1.1"}
PYTHON_OF_GLUE = {"5.0": (3, 11), "5.1": (3, 11), "6.0": (3, 13)}


def _job(deployment: Deployment, job: str) -> Properties:
    return properties(deployment.pipeline, "AWS::Glue::Job", Name=f"music-kpi-{deployment.environment}-{job}")


def _pins_of_the_tests() -> set[str]:
    return set((ROOT / "requirements.txt").read_text(encoding="utf-8").split())


def _arguments(deployment: Deployment, job: str) -> dict[str, object]:
    return dict(_job(deployment, job)["DefaultArguments"])


@pytest.mark.parametrize("job", JOBS)
def test_a_job_runs_as_the_settings_say(deployment: Deployment, job: str) -> None:
    settings, found = deployment.settings, _job(deployment, job)
    assert found["Command"]["Name"] == "glueetl"
    assert found["GlueVersion"] == settings.glue_version
    assert found["WorkerType"] == settings.worker_type
    assert found["NumberOfWorkers"] == settings.number_of_workers
    assert found["Timeout"] == settings.job_timeout_minutes


@pytest.mark.parametrize("job", JOBS)
def test_glue_queues_runs_and_never_retries_them_itself(deployment: Deployment, job: str) -> None:
    assert _job(deployment, job)["JobRunQueuingEnabled"] is True
    assert _job(deployment, job)["MaxRetries"] == 0


def test_validations_run_side_by_side_and_kpi_runs_as_the_settings_say(deployment: Deployment) -> None:
    assert _job(deployment, "validate-batch")["ExecutionProperty"] == {"MaxConcurrentRuns": 10}
    kpi_runs = deployment.settings.max_concurrent_kpi_runs
    assert _job(deployment, "compute-kpis")["ExecutionProperty"] == {"MaxConcurrentRuns": kpi_runs}


@pytest.mark.parametrize(
    ("job", "declared"),
    [
        ("validate-batch", names.VALIDATE_BATCH_JOB_ARGUMENTS),
        ("compute-kpis", names.COMPUTE_KPIS_JOB_ARGUMENTS),
    ],
)
def test_the_default_arguments_of_our_own_are_the_ones_that_the_script_declares(
    deployment: Deployment, job: str, declared: tuple[str, ...]
) -> None:
    # Glue's own arguments are written with dashes, ours with underscores or in one word.
    glues = {
        "--additional-python-modules",
        "--custom-logGroup-prefix",
        "--enable-metrics",
        "--enable-observability-metrics",
        "--extra-py-files",
        "--job-language",
        "--python-modules-installer-option",
    }
    assert _arguments(deployment, job).keys() - glues == {f"--{argument}" for argument in declared}


def test_the_arguments_carry_the_settings_and_the_names_of_the_storage_stack(deployment: Deployment) -> None:
    validate, compute = _arguments(deployment, "validate-batch"), _arguments(deployment, "compute-kpis")
    assert validate["--environment"] == deployment.environment
    assert json.loads(str(validate["--tolerances"])) == dict(deployment.settings.tolerances)
    assert compute["--top_songs"] == str(deployment.settings.top_songs)
    assert compute["--top_genres"] == str(deployment.settings.top_genres)
    for argument, resource in {"data_bucket": "DataBucket", "ledger_table": "Ledger"}.items():
        assert resource in text(validate[f"--{argument}"])
        assert resource in text(compute[f"--{argument}"])
    assert "Kpis" in text(compute["--kpis_table"])


@pytest.mark.parametrize("job", JOBS)
def test_a_jobs_logs_go_to_groups_that_expire(deployment: Deployment, job: str) -> None:
    prefix = _arguments(deployment, job)["--custom-logGroup-prefix"]
    for stream in ("output", "error"):
        properties(deployment.pipeline, "AWS::Logs::LogGroup", LogGroupName=f"{prefix}/{stream}")


@pytest.mark.parametrize(("job", "script"), [(JOBS[0], "validate_batch.py"), (JOBS[1], "compute_kpis.py")])
def test_a_job_runs_the_script_of_its_name(dev: Deployment, job: str, script: str) -> None:
    location = text(_job(dev, job)["Command"]["ScriptLocation"])
    asset = dev.outdir / f"asset.{location.rpartition('/')[2]}"
    assert asset.read_bytes() == (ROOT / "glue_scripts" / script).read_bytes()


def test_both_jobs_get_the_same_packages(dev: Deployment) -> None:
    zips = {text(_arguments(dev, job)["--extra-py-files"]) for job in JOBS}
    assert len(zips) == 1
    assert zips.pop().endswith(".zip")


@pytest.mark.parametrize("job", JOBS)
def test_a_job_installs_its_wheels_and_asks_no_index(deployment: Deployment, job: str) -> None:
    arguments = _arguments(deployment, job)
    name = archive_name(wheels_of(job))
    bucket = "s3://cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"
    assert text(arguments["--additional-python-modules"]) == f"{bucket}/{name}"
    assert arguments["--python-modules-installer-option"] == "--no-index --no-deps"


def test_the_tests_run_on_the_versions_that_the_jobs_install() -> None:
    assert {wheel.pin for wheel in read_wheels(REQUIREMENTS)} <= _pins_of_the_tests()


def test_the_tests_run_on_the_spark_and_the_python_of_the_glue_version(deployment: Deployment) -> None:
    version = deployment.settings.glue_version
    assert f"pyspark=={SPARK_OF_GLUE[version]}" in _pins_of_the_tests()
    assert importlib.metadata.version("pyspark") == SPARK_OF_GLUE[version]
    assert sys.version_info[:2] == PYTHON_OF_GLUE[version]
