"""Alarms about the data: late, missing or bad."""

from __future__ import annotations

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch

from glue_scripts import names
from stacks.constructs.alarms import Alarms, WithoutData
from stacks.constructs.metrics import DAY, HOUR, own_metric
from stacks.constructs.upload_queue import UploadQueue
from stacks.settings import Settings

OLDEST_UNPUBLISHED_SECONDS: Final = 2 * 3600
"""When a file that a batch has begun with is forgotten: executions last minutes, and a failed one sends an e-mail."""
WAITING_SECONDS: Final = 3600
"""When `uploads-waiting` tells of an upload whose event is still in the queue."""
_ROWS_THAT_SAY_SOMETHING: Final = 10_000
"""Fewer rows a day say nothing by their share: the e-mail about a rejected file says it all."""


def add_freshness_alarms(alarms: Alarms, *, settings: Settings) -> None:
    """From the upload to the KPIs: the files that arrived late, and those that have not arrived."""
    slo = settings.freshness_limit_seconds
    alarms.add(
        "freshness",
        # A percentile needs no least number of files here: the one file of a quiet hour counts.
        own_metric(names.FRESHNESS, settings=settings, statistic=cloudwatch.Stats.percentile(95), period=HOUR),
        at_least=slo,
        description=f"Over 5 % of the files of an hour took {slo} seconds or more from upload to KPIs.",
    )
    alarms.add(
        "oldest-unpublished",
        own_metric(
            names.OLDEST_UNPUBLISHED,
            settings=settings,
            statistic=cloudwatch.Stats.MAXIMUM,
            period=cdk.Duration.minutes(15),
        ),
        at_least=OLDEST_UNPUBLISHED_SECONDS,
        # It is measured every five minutes, whether there are files or not: without it nobody measures.
        without_data=WithoutData.WRONG,
        description="A file is not in the KPIs two hours after its upload, most often because nobody redrove its "
        "execution; or the function pipeline-health does not run.",
    )


def add_forgotten_alarm(alarms: Alarms, *, uploads: UploadQueue, settings: Settings) -> None:
    """Files in raw/ that nobody knows of: their events were lost, or never sent.

    A file whose event waits in the queue, or is a dead letter, has an alarm of its own.
    """
    quarter = cdk.Duration.minutes(15)
    waiting = uploads.queue.metric_approximate_age_of_oldest_message(period=quarter)
    dead = uploads.dead_letters.metric_approximate_number_of_messages_visible(period=quarter)
    alarms.add(
        "files-forgotten",
        cloudwatch.MathExpression(
            expression=f"IF(FILL(waiting, 0) >= {WAITING_SECONDS} OR FILL(dead, 0) > 0, 0, forgotten)",
            using_metrics={
                "forgotten": own_metric(
                    names.FORGOTTEN_FILES, settings=settings, statistic=cloudwatch.Stats.MAXIMUM, period=quarter
                ),
                "waiting": waiting,
                "dead": dead,
            },
            label="files forgotten",
            period=quarter,
        ),
        at_least=1,
        description="Files are in raw/ for over an hour and the ledger does not know them: S3 sent no event, or it was "
        "lost, or their batch failed before it could note them. `operations status` names them, `operations replay "
        "--forgotten` starts them.",
    )


def add_quality_alarms(alarms: Alarms, *, settings: Settings) -> None:
    """How many rows of a day do not reach the KPIs."""
    percent = settings.rejected_rows_percent
    alarms.add(
        "rows-rejected",
        cloudwatch.MathExpression(
            expression=f"IF(rows >= {_ROWS_THAT_SAY_SOMETHING}, 100 * rejected / rows, 0)",
            using_metrics={
                "rows": own_metric(names.ROWS_IN, settings=settings, period=DAY),
                "rejected": own_metric(names.ROWS_REJECTED, settings=settings, period=DAY),
            },
            label="per cent of rows rejected",
            period=DAY,
        ),
        at_least=percent,
        description=f"{percent} % or more of a day's rows did not reach the KPIs, in rejected files or as quarantined "
        "rows of accepted ones.",
    )


def add_arrival_alarm(alarms: Alarms, *, uploads: UploadQueue, settings: Settings) -> None:
    """Whether files come at all, if the settings ask for it."""
    hours = settings.no_file_alarm_hours
    if hours:
        alarms.add(
            "no-file",
            uploads.queue.metric_number_of_messages_sent(period=HOUR),
            below=1,
            periods=hours,
            # A queue that nothing is sent to has no data after some hours: that is what this is about.
            without_data=WithoutData.WRONG,
            description=f"No file was uploaded for {hours} hours. Ask the producers; check the rule object-created.",
        )
