"""Glue job: validates the files of one batch. Exits 0 whenever it could judge; its verdict is data."""

from __future__ import annotations

import gc
import json
from importlib import import_module
from threading import Thread

import boto3

from glue_scripts.batch_judge import BatchJudge
from glue_scripts.failures import SafeFailure
from glue_scripts.file_metrics import measure_verdicts
from glue_scripts.judging import plays_at_most
from glue_scripts.ledger import Ledger
from glue_scripts.metrics import Metrics, metered, metrics_client
from glue_scripts.names import VALIDATE_BATCH, VALIDATE_BATCH_JOB_ARGUMENTS, VALIDATE_BATCH_RUN_ARGUMENTS
from glue_scripts.objects import Location
from glue_scripts.session import RUN_ID_ARGUMENT, Spark, begin_log, job_arguments
from glue_scripts.spread import HERE_PLAYS
from glue_scripts.staged_files import check_batch, read_manifest
from glue_scripts.validation import Validation
from validators.reports import EmailSettings
from validators.rules import check_tolerances


def main() -> None:
    """Reads the job's arguments, and validates."""
    arguments = job_arguments((*VALIDATE_BATCH_RUN_ARGUMENTS, *VALIDATE_BATCH_JOB_ARGUMENTS))
    tolerances = json.loads(arguments["tolerances"])
    check_tolerances(tolerances)
    begin_log(VALIDATE_BATCH)
    metrics = Metrics(metrics_client(), arguments["environment"])
    with metered(metrics, job=VALIDATE_BATCH, dpus=float(arguments["dpus"])):
        s3 = boto3.client("s3")
        ledger = Ledger(boto3.resource("dynamodb").Table(arguments["ledger_table"]))
        manifest = read_manifest(s3, Location.of_uri(arguments["manifest_uri"]))
        spark = Spark(VALIDATE_BATCH)
        if plays_at_most(manifest.files) > HERE_PLAYS:
            # It takes seconds to start. Meanwhile the files' bytes are looked at.
            Thread(target=spark.context, daemon=True).start()
        # Great Expectations takes seconds to import. Meanwhile the files' bytes are looked at and their rows judged.
        Thread(target=_import_great_expectations, daemon=True).start()
        validation = Validation(
            s3=s3,
            ledger=ledger,
            judge=BatchJudge(
                s3=s3,
                ledger=ledger,
                context=spark.context,
                tolerances=tolerances,
                run=arguments[RUN_ID_ARGUMENT],
                manifest=manifest.location,
            ),
            emails=EmailSettings(
                environment=arguments["environment"],
                bucket=arguments["data_bucket"],
                error_days=int(arguments["error_days"]),
                runbook=arguments["runbook"],
            ),
            manifest=manifest.location,
        )
        measure_verdicts(metrics, validation.validate(check_batch(s3, ledger, manifest)))


def _import_great_expectations() -> None:
    """`Validation` imports it where it needs it, and waits for this.

    Looking for garbage among what it makes takes a third of the time of its import and of the process's end.
    """
    gc.disable()
    import_module("validators.expectations")
    gc.freeze()
    gc.enable()


if __name__ == "__main__":
    with SafeFailure():
        main()
