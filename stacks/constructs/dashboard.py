"""One page that answers: does it flow, is the data good, is it fresh, what does it cost, what is broken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from stacks.constructs import data_graphs, pipeline_graphs
from stacks.constructs.alarms import Alarms
from stacks.pipeline_stack import PipelineStack
from stacks.settings import Settings
from stacks.storage_stack import StorageStack

_COLUMNS: Final = 24
"""https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html"""


class Dashboard(Construct):
    """The dashboard of an environment: alarms, flow, quality, freshness, cost, errors, from top to bottom."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        alarms: Alarms,
        storage: StorageStack,
        pipeline: PipelineStack,
        settings: Settings,
    ) -> None:
        super().__init__(scope, construct_id)
        self._dashboard = cloudwatch.Dashboard(
            self, "Dashboard", dashboard_name=settings.name("pipeline"), default_interval=cdk.Duration.days(1)
        )
        self._dashboard.add_widgets(_links(storage=storage, pipeline=pipeline, settings=settings))
        self._dashboard.add_widgets(
            cloudwatch.AlarmStatusWidget(title="Alarms", width=_COLUMNS, height=4, alarms=list(alarms.all))
        )
        self._add_row("Flow", pipeline_graphs.flow(pipeline=pipeline, settings=settings))
        self._add_row("Quality", data_graphs.quality(settings=settings))
        self._add_row("Freshness", data_graphs.freshness(settings=settings))
        self._add_row("Cost", pipeline_graphs.cost(storage=storage, settings=settings))
        self._add_row("Errors", pipeline_graphs.errors(pipeline=pipeline))

    def _add_row(self, title: str, graphs: Sequence[cloudwatch.GraphWidget]) -> None:
        self._dashboard.add_widgets(cloudwatch.TextWidget(markdown=f"## {title}", width=_COLUMNS, height=1))
        self._dashboard.add_widgets(*graphs)


def _links(*, storage: StorageStack, pipeline: PipelineStack, settings: Settings) -> cloudwatch.TextWidget:
    region = pipeline.region
    console = f"https://{region}.console.aws.amazon.com"
    machine = pipeline.pipeline.machine.state_machine_arn
    links = {
        "Executions": f"{console}/states/home?region={region}#/statemachines/view/{machine}",
        "Job runs": f"{console}/gluestudio/home?region={region}#/monitoring",
        "Files": f"{console}/s3/buckets/{storage.data_bucket.bucket.bucket_name}",
        "Queries": f"{console}/athena/home?region={region}#/query-editor",
    }
    listed = " | ".join(f"[{name}]({link})" for name, link in links.items())
    return cloudwatch.TextWidget(
        markdown=f"# Music KPI pipeline, {settings.environment}\n{listed}\n\n"
        "Every alarm and what to do about it: `docs/monitoring.md`. Every e-mail: `docs/runbook.md`.",
        width=_COLUMNS,
        height=3,
    )
