"""The stack that keeps data: a redeployment of the pipeline never touches it."""

from __future__ import annotations

import aws_cdk as cdk
from constructs import Construct

from stacks.constructs.alert_topic import AlertTopic
from stacks.constructs.data_bucket import DataBucket
from stacks.constructs.tables import KpisTable, LedgerTable
from stacks.settings import Settings


class StorageStack(cdk.Stack):
    """Bucket, tables and topic; retained and protected where the settings say so."""

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings) -> None:
        super().__init__(
            scope,
            construct_id,
            description=f"Music KPI pipeline ({settings.environment}): files, KPIs, ledger and alert topic",
            termination_protection=settings.retain_data,
        )
        self.data_bucket = DataBucket(self, "DataBucket", settings=settings)
        self.kpis = KpisTable(self, "Kpis", settings=settings)
        self.ledger = LedgerTable(self, "Ledger", settings=settings)
        self.alerts = AlertTopic(self, "Alerts", settings=settings)

        cdk.CfnOutput(self, "DataBucketName", value=self.data_bucket.bucket.bucket_name)
        cdk.CfnOutput(self, "KpisTableName", value=self.kpis.table.table_name)
        cdk.CfnOutput(self, "LedgerTableName", value=self.ledger.table.table_name)
        cdk.CfnOutput(self, "AlertTopicArn", value=self.alerts.topic.topic_arn)
