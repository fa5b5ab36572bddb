"""Glue job: brings the accepted files of one batch into the KPIs. Exits 0 when they are visible in DynamoDB."""

from __future__ import annotations

from datetime import UTC, datetime

import boto3

from glue_scripts.accepted_files import AcceptedFiles
from glue_scripts.failures import SafeFailure
from glue_scripts.file_metrics import measure_freshness
from glue_scripts.kpi_batch import KpiBatch
from glue_scripts.kpi_table import KpiTable
from glue_scripts.ledger import Ledger
from glue_scripts.merging import StoredRuns, merge_runs
from glue_scripts.metrics import Metrics, metered, metrics_client
from glue_scripts.names import COMPUTE_KPIS, COMPUTE_KPIS_JOB_ARGUMENTS, COMPUTE_KPIS_RUN_ARGUMENTS
from glue_scripts.object_store import ObjectStore
from glue_scripts.objects import Location
from glue_scripts.publication import Publisher
from glue_scripts.session import RUN_ID_ARGUMENT, Spark, begin_log, job_arguments
from glue_scripts.spread import task_share
from glue_scripts.sql_engine import SqlEngine
from glue_scripts.taken_batches import StoredBatches


def main() -> None:
    """Reads the job's arguments and the list of accepted files, and loads them."""
    arguments = job_arguments((*COMPUTE_KPIS_RUN_ARGUMENTS, *COMPUTE_KPIS_JOB_ARGUMENTS))
    begin_log(COMPUTE_KPIS)
    metrics = Metrics(metrics_client(), arguments["environment"])
    with metered(metrics, job=COMPUTE_KPIS, dpus=float(arguments["dpus"])):
        location = Location.of_uri(arguments["accepted_uri"])
        accepted = AcceptedFiles.read(ObjectStore(location.bucket), location)
        objects = ObjectStore(arguments["data_bucket"])
        context, share, run = Spark(COMPUTE_KPIS).context, task_share(), arguments[RUN_ID_ARGUMENT]
        engine = SqlEngine(
            objects=objects,
            context=context,
            top_songs=int(arguments["top_songs"]),
            top_genres=int(arguments["top_genres"]),
            share=share,
        )
        dynamodb = boto3.resource("dynamodb")
        publisher = Publisher(
            ledger=Ledger(dynamodb.Table(arguments["ledger_table"])),
            kpi_table=KpiTable(dynamodb.Table(arguments["kpis_table"])),
            compute=engine.compute,
            made_with={
                "kpi_code": arguments["kpi_code"],
                "kpi_settings": {name: int(arguments[name]) for name in ("top_songs", "top_genres")},
            },
        )
        batch = KpiBatch(
            publisher=publisher,
            known_tracks=engine.known_tracks,
            batches=StoredBatches(objects),
            run=run,
        )
        loaded = batch.load(accepted)
        measure_freshness(metrics, loaded.files, datetime.now(UTC))
        # Last, so that the files are loaded even if the merge fails.
        merge_runs(publisher.ledger, StoredRuns(objects=objects, context=context, share=share), loaded.days, run)


if __name__ == "__main__":
    with SafeFailure():
        main()
