"""Alarms about what carries: events, queues, the pipe, and the tables."""

from __future__ import annotations

from typing import Final

from aws_cdk import aws_cloudwatch as cloudwatch

from stacks.constructs.alarms import Alarms
from stacks.constructs.metrics import (
    HOUR,
    MINUTES_5,
    PIPE_EXECUTIONS_FAILED,
    PIPE_EXECUTIONS_TIMED_OUT,
    RULE_EVENTS_LOST,
    TABLE_ERRORS,
    TABLE_THROTTLED,
    pipe_metric,
    rule_metric,
    table_metric,
    total,
)
from stacks.pipeline_stack import PipelineStack
from stacks.storage_stack import StorageStack

_OPERATIONS: Final = ("GetItem", "Query", "PutItem", "UpdateItem", "BatchWriteItem")
"""What jobs and state machine do with the tables."""


def add_delivery_alarms(alarms: Alarms, *, pipeline: PipelineStack) -> None:
    """From an upload's event to an execution, and from a failed execution to its e-mail."""
    uploads, failures, pipe = pipeline.uploads, pipeline.failures, pipeline.batches.pipe
    alarms.add(
        "events-lost",
        total("events lost", *(rule_metric(rule, RULE_EVENTS_LOST) for rule in (uploads.rule, failures.rule))),
        at_least=1,
        description="EventBridge could deliver events neither to their target nor to the dead-letter queue: uploads or "
        "failures that nobody else knows of.",
    )
    failing = total(
        "pipe failures",
        *(pipe_metric(pipe, name) for name in (PIPE_EXECUTIONS_FAILED, PIPE_EXECUTIONS_TIMED_OUT)),
        period=HOUR,
    )
    alarms.add(
        "pipe-failing",
        failing,
        at_least=2,  # a batch that fails once is delivered again
        description="The pipe cannot start executions: batches come back and end as dead letters. Read the pipe's log.",
    )
    waiting = uploads.queue.metric_approximate_age_of_oldest_message(period=HOUR)
    alarms.add(
        "uploads-waiting",
        cloudwatch.MathExpression(
            # Where the pipe fails, pipe-failing tells it.
            expression="IF(failing == 0, waiting, 0)",
            using_metrics={"failing": failing, "waiting": waiting},
            label="seconds in the queue",
            period=HOUR,
        ),
        at_least=3600,
        description="An upload waits in the queue for an hour, and the pipe does not even fail: is it stopped, as by "
        "an unfinished purge-user?",
    )
    for name, queue in {
        "upload-dead-letters": uploads.dead_letters,
        "notifier-dead-letters": failures.dead_letters,
    }.items():
        alarms.add(
            name,
            queue.metric_approximate_number_of_messages_visible(period=MINUTES_5),
            at_least=1,
            description="Messages could not be delivered in spite of retries; they are kept for 14 days.",
        )


def add_table_alarms(alarms: Alarms, *, storage: StorageStack) -> None:
    """The tables: boto3 and the jobs try again, so that only what lasts is told."""
    for name, table in {"kpis": storage.kpis.table, "ledger": storage.ledger.table}.items():
        throttled = (table_metric(table, TABLE_THROTTLED, one) for one in _OPERATIONS)
        errors = (table_metric(table, TABLE_ERRORS, one) for one in _OPERATIONS)
        alarms.add(
            f"{name}-throttled",
            total("throttled requests", *throttled),
            at_least=1,
            periods=3,
            description=f"DynamoDB throttles the table {name} for 15 minutes: jobs are slow and may fail.",
        )
        alarms.add(
            f"{name}-system-errors",
            total("system errors", *errors),
            at_least=1,
            periods=3,
            description=f"DynamoDB answers with errors of its own on the table {name} for 15 minutes.",
        )
