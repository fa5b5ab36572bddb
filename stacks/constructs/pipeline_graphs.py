"""Graphs about the machinery: what flows, what it costs, what is broken."""

from __future__ import annotations

from typing import Final

from aws_cdk import aws_cloudwatch as cloudwatch

from glue_scripts import names
from stacks.constructs.graphs import Graph, row
from stacks.constructs.metrics import (
    HOUR,
    PIPE_EXECUTIONS_FAILED,
    PIPE_EXECUTIONS_TIMED_OUT,
    RULE_INVOCATIONS_FAILED,
    own_metric,
    pipe_metric,
    rule_metric,
)
from stacks.pipeline_stack import PipelineStack
from stacks.settings import Settings
from stacks.storage_stack import StorageStack

_DOLLARS_OF_DPU_HOUR: Final = 0.44
"""Glue 5.1 in us-east-1: https://aws.amazon.com/glue/pricing/."""


def flow(*, pipeline: PipelineStack, settings: Settings) -> list[cloudwatch.GraphWidget]:
    """Files and batches."""
    machine, queue = pipeline.pipeline.machine, pipeline.uploads.queue
    files = [
        own_metric(metric, settings=settings, label=label)
        for label, metric in {"accepted": names.FILES_ACCEPTED, "rejected": names.FILES_REJECTED}.items()
    ]
    durations = [
        machine.metric_time(statistic=statistic, label=label)
        for label, statistic in {"half": "p50", "95 %": "p95", "all": cloudwatch.Stats.MAXIMUM}.items()
    ]
    return row(
        Graph("Files", "files", files),
        Graph("Batches", "executions", [machine.metric_started(), machine.metric_succeeded()]),
        Graph("Duration of batches", "milliseconds", durations),
        Graph("Uploads in the queue", "files", [queue.metric_approximate_number_of_messages_visible()]),
    )


def cost(*, storage: StorageStack, settings: Settings) -> list[cloudwatch.GraphWidget]:
    """What drives the bill: DPU seconds most of all."""
    jobs = {"validate": names.VALIDATE_BATCH, "compute": names.COMPUTE_KPIS}
    seconds = {
        key: own_metric(names.DPU_SECONDS, settings=settings, period=HOUR, of=job, label=job)
        for key, job in jobs.items()
    }
    filled = " + ".join(f"FILL({key}, 0)" for key in seconds)
    dollars = cloudwatch.MathExpression(
        expression=f"({filled}) / 3600 * {_DOLLARS_OF_DPU_HOUR}", using_metrics=seconds, label="Glue", period=HOUR
    )
    tables = {"kpis": storage.kpis.table, "ledger": storage.ledger.table}
    written = [table.metric_consumed_write_capacity_units(label=name, period=HOUR) for name, table in tables.items()]
    return row(
        Graph("Glue", "DPU seconds an hour", list(seconds.values())),
        Graph("Glue, by the price of us-east-1", "dollars an hour", [dollars]),
        Graph("DynamoDB", "write units an hour", written),
    )


def errors(*, pipeline: PipelineStack) -> list[cloudwatch.GraphWidget]:
    """What ended badly, and what was not delivered."""
    machine, uploads, failures = pipeline.pipeline.machine, pipeline.uploads, pipeline.failures
    runs = [
        metric
        for name, job in {
            names.VALIDATE_BATCH: pipeline.validate_batch,
            names.COMPUTE_KPIS: pipeline.compute_kpis,
        }.items()
        for metric in (
            job.job.metric_failure(label=f"{name} failed"),
            job.job.metric_timeout(label=f"{name} timed out"),
        )
    ]
    deliveries = [
        *(rule_metric(rule, RULE_INVOCATIONS_FAILED) for rule in (uploads.rule, failures.rule)),
        *(pipe_metric(pipeline.batches.pipe, name) for name in (PIPE_EXECUTIONS_FAILED, PIPE_EXECUTIONS_TIMED_OUT)),
    ]
    dead = [
        queue.metric_approximate_number_of_messages_visible(label=label)
        for label, queue in {"uploads": uploads.dead_letters, "failures": failures.dead_letters}.items()
    ]
    ended = [machine.metric_failed(), machine.metric_timed_out(), machine.metric_aborted(), machine.metric_throttled()]
    return row(
        Graph("Executions", "executions", ended),
        Graph("Job runs, each tried twice", "runs", runs),
        Graph("Deliveries that failed", "deliveries", deliveries),
        Graph("Dead letters", "messages", dead),
    )
