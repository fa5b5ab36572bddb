"""The stack that watches: it can be replaced at any time, and nothing works less without it."""

from __future__ import annotations

import aws_cdk as cdk
from constructs import Construct

from stacks.api_stack import ApiStack
from stacks.constructs.alarms import Alarms
from stacks.constructs.api_alarms import add_api_alarms
from stacks.constructs.dashboard import Dashboard
from stacks.constructs.data_alarms import (
    add_arrival_alarm,
    add_forgotten_alarm,
    add_freshness_alarms,
    add_quality_alarms,
)
from stacks.constructs.data_catalog import DataCatalog
from stacks.constructs.delivery_alarms import add_delivery_alarms, add_table_alarms
from stacks.constructs.pipeline_alarms import add_execution_alarms, add_job_alarms
from stacks.constructs.pipeline_health import PipelineHealth
from stacks.pipeline_stack import PipelineStack
from stacks.settings import Settings
from stacks.storage_stack import StorageStack


class MonitoringStack(cdk.Stack):
    """Alarms, the dashboard, and tables for Athena."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        storage: StorageStack,
        pipeline: PipelineStack,
        api: ApiStack,
        settings: Settings,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            description=f"Music KPI pipeline ({settings.environment}): alarms, dashboard and tables for Athena",
            termination_protection=settings.retain_data,
        )
        PipelineHealth(
            self, "PipelineHealth", data_bucket=storage.data_bucket, ledger=storage.ledger, settings=settings
        )
        alarms = Alarms(self, "Alarms", alerts=storage.alerts, settings=settings)
        add_execution_alarms(alarms, pipeline=pipeline)
        add_job_alarms(alarms, pipeline=pipeline, settings=settings)
        add_delivery_alarms(alarms, pipeline=pipeline)
        add_table_alarms(alarms, storage=storage)
        add_api_alarms(alarms, api=api)
        add_freshness_alarms(alarms, settings=settings)
        add_forgotten_alarm(alarms, uploads=pipeline.uploads, settings=settings)
        add_quality_alarms(alarms, settings=settings)
        add_arrival_alarm(alarms, uploads=pipeline.uploads, settings=settings)
        DataCatalog(self, "DataCatalog", data_bucket=storage.data_bucket, settings=settings)
        Dashboard(self, "Dashboard", alarms=alarms, storage=storage, pipeline=pipeline, settings=settings)
