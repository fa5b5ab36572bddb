"""What measures the files that do not arrive."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from constructs import Construct

from glue_scripts import names
from stacks.constructs.data_bucket import DataBucket
from stacks.constructs.permissions import PUT_METRICS_BECAUSE, allow
from stacks.constructs.python_function import PythonFunction
from stacks.constructs.tables import LedgerTable
from stacks.settings import Settings


class PipelineHealth(Construct):
    """A function that a rule calls every five minutes.

    It has no dead-letter queue: the next call measures the same, and the alarm `oldest-unpublished` tells when there is
    none.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, data_bucket: DataBucket, ledger: LedgerTable, settings: Settings
    ) -> None:
        super().__init__(scope, construct_id)
        health = PythonFunction(
            self,
            "Function",
            name=settings.name("pipeline-health"),
            handler="lambdas.pipeline_health.handler.handler",
            packages=["glue_scripts", "lambdas", "validators"],
            environment={
                "DATA_BUCKET": data_bucket.bucket.bucket_name,
                "LEDGER_TABLE": ledger.table.table_name,
                "ENVIRONMENT": settings.environment,
            },
            settings=settings,
        )
        data_bucket.grant_list_versions(health.role, names.RAW_PREFIX)
        ledger.grant_list_by_status(health.role)
        ledger.grant_look_up(health.role)
        allow(
            health.role,
            actions=["cloudwatch:PutMetricData"],
            resources=["*"],
            conditions={"StringEquals": {"cloudwatch:namespace": names.METRIC_NAMESPACE}},
            wildcard_because=PUT_METRICS_BECAUSE,
        )
        events.Rule(
            self,
            "EveryFiveMinutes",
            rule_name=settings.name("pipeline-health"),
            description="Measures the files and days that are not in the KPIs, and the files that nobody knows of",
            schedule=events.Schedule.rate(cdk.Duration.minutes(5)),
            targets=[targets.LambdaFunction(health.function, retry_attempts=0)],
        )
