"""Glue job: validates the files of one batch. Exits 0 whenever it could judge; its verdict is data."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import boto3

from glue_scripts.failures import SafeFailure
from glue_scripts.file_metrics import measure_verdicts
from glue_scripts.lake import Lake
from glue_scripts.ledger import Ledger
from glue_scripts.metrics import Metrics, metered, metrics_client
from glue_scripts.names import VALIDATE_BATCH, VALIDATE_BATCH_JOB_ARGUMENTS, VALIDATE_BATCH_RUN_ARGUMENTS
from glue_scripts.objects import Location
from glue_scripts.session import RUN_ID_ARGUMENT, job_arguments, spark_session
from validators.reports import EmailSettings
from validators.rules import check_tolerances


def main() -> None:
    """Reads the job's arguments, and validates."""
    arguments = job_arguments((*VALIDATE_BATCH_RUN_ARGUMENTS, *VALIDATE_BATCH_JOB_ARGUMENTS))
    tolerances = json.loads(arguments["tolerances"])
    check_tolerances(tolerances)
    metrics = Metrics(metrics_client(), arguments["environment"])
    with metered(metrics, job=VALIDATE_BATCH, dpus=float(arguments["dpus"])):
        # Great Expectations takes seconds to import: it is imported while the JVM starts, a process of its own.
        with ThreadPoolExecutor(max_workers=1) as pool:
            importing = pool.submit(import_module, "glue_scripts.validation")
            spark = spark_session(VALIDATE_BATCH)
            importing.result()
        from glue_scripts.validation import Validation

        validation = Validation(
            spark=spark,
            s3=boto3.client("s3"),
            ledger=Ledger(boto3.resource("dynamodb").Table(arguments["ledger_table"])),
            lake=Lake(spark, arguments["data_bucket"]),
            emails=EmailSettings(
                environment=arguments["environment"],
                bucket=arguments["data_bucket"],
                error_days=int(arguments["error_days"]),
                runbook=arguments["runbook"],
            ),
            tolerances=tolerances,
            run=arguments[RUN_ID_ARGUMENT],
            manifest=Location.of_uri(arguments["manifest_uri"]),
        )
        measure_verdicts(metrics, validation.validate())


if __name__ == "__main__":
    with SafeFailure():
        main()
