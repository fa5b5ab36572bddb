"""Alarms about what runs: executions and job runs."""

from __future__ import annotations

from aws_cdk import aws_cloudwatch as cloudwatch

from glue_scripts import names
from stacks.constructs.alarms import Alarms
from stacks.constructs.glue_spark_job import GlueSparkJob
from stacks.constructs.metrics import HOUR, MINUTES_5, own_metric, total
from stacks.pipeline_stack import PipelineStack
from stacks.settings import Settings


def add_execution_alarms(alarms: Alarms, *, pipeline: PipelineStack) -> None:
    """Executions of the pipeline, and of the notifier that tells about them.

    An execution that failed, timed out or was aborted is one e-mail: the notifier's, which knows which one, where and
    why. The alarms about it send none.
    """
    machine, notifier = pipeline.pipeline.machine, pipeline.failures.notifier.machine
    redrive = "The notifier's e-mail says which one and why: remove the cause, then redrive it."
    for name, metric in {
        "executions-failed": machine.metric_failed(period=MINUTES_5),
        "executions-timed-out": machine.metric_timed_out(period=MINUTES_5),
        "executions-aborted": machine.metric_aborted(period=MINUTES_5),
    }.items():
        how = name.removeprefix("executions-").replace("-", " ")
        alarms.add(name, metric, at_least=1, is_told_otherwise=True, description=f"Executions {how}. {redrive}")
    alarms.add(
        "executions-throttled",
        machine.metric_throttled(period=MINUTES_5),
        at_least=1,
        periods=3,  # Step Functions retries what it throttles: only a lasting throttle delays files
        description="Step Functions throttles the pipeline for 15 minutes: files are late. Raise the quota.",
    )
    told = total(
        "notifier failures",
        notifier.metric_failed(period=MINUTES_5),
        notifier.metric_timed_out(period=MINUTES_5),
        notifier.metric_aborted(period=MINUTES_5),
    )
    alarms.add(
        "notifier-failed",
        told,
        at_least=1,
        description="An execution failed and no e-mail could be sent about it. Look for it in the console.",
    )


def add_job_alarms(alarms: Alarms, *, pipeline: PipelineStack, settings: Settings) -> None:
    """Job runs: the state machine runs a failed one once more, and the execution fails if that fails, too."""
    for name, job in {names.VALIDATE_BATCH: pipeline.validate_batch, names.COMPUTE_KPIS: pipeline.compute_kpis}.items():
        alarms.add(
            f"{name}-runs-failed",
            failed_runs(job),
            at_least=1,
            is_told_otherwise=True,
            description="Job runs failed or were stopped by their timeout. Where that fails the execution, an e-mail "
            "says so; where it does not, the second run went well: read the first one's log when it happens often, in "
            f"/aws-glue/jobs/{settings.name(name)}/output.",
        )
    ended = pipeline.pipeline.machine.metric_succeeded(period=HOUR)
    measured = own_metric(names.DPU_SECONDS, settings=settings, period=HOUR, of=names.VALIDATE_BATCH)
    alarms.add(
        "metrics-missing",
        cloudwatch.MathExpression(
            expression="IF(FILL(ended, 0) > 0 AND FILL(measured, 0) == 0, 1, 0)",
            using_metrics={"ended": ended, "measured": measured},
            label="executions without metrics",
            period=HOUR,
        ),
        at_least=1,
        periods=2,  # the job puts its metrics before the execution ends: they may be in the hour before
        description="Executions succeed and their jobs' metrics do not arrive: dashboard and alarms are blind. "
        "Look for MetricsNotPutError in the jobs' logs, /aws-glue/jobs/<job>/output.",
    )


def failed_runs(job: GlueSparkJob) -> cloudwatch.MathExpression:
    """Runs of a job that failed or timed out: counted by a rule each, for Glue has no such metric."""
    failed, timed_out = job.job.metric_failure(period=MINUTES_5), job.job.metric_timeout(period=MINUTES_5)
    return total("failed runs", failed, timed_out)
