"""The two DynamoDB tables."""

from __future__ import annotations

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from constructs import Construct

from glue_scripts import names
from stacks.constructs.permissions import allow
from stacks.settings import Settings

_STRING: Final = dynamodb.AttributeType.STRING


class Table(Construct):
    """An on-demand table with point-in-time recovery, encrypted with a key of AWS."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        table_name: str,
        partition_key: str,
        sort_key: str,
        settings: Settings,
    ) -> None:
        super().__init__(scope, construct_id)
        self.table = dynamodb.Table(
            self,
            "Table",
            table_name=table_name,
            partition_key=dynamodb.Attribute(name=partition_key, type=_STRING),
            sort_key=dynamodb.Attribute(name=sort_key, type=_STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.DEFAULT,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=settings.retain_data,
            removal_policy=cdk.RemovalPolicy.RETAIN if settings.retain_data else cdk.RemovalPolicy.DESTROY,
        )

    def _add_index(self, index_name: str, *, partition_key: str, sort_key: str) -> None:
        self.table.add_global_secondary_index(
            index_name=index_name,
            partition_key=dynamodb.Attribute(name=partition_key, type=_STRING),
            sort_key=dynamodb.Attribute(name=sort_key, type=_STRING),
            projection_type=dynamodb.ProjectionType.ALL,
        )


class KpisTable(Table):
    """The KPI rows, by day and version; the days also by date."""

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings) -> None:
        super().__init__(
            scope,
            construct_id,
            table_name=settings.name("kpis"),
            partition_key=names.KPIS_PARTITION_KEY,
            sort_key=names.KPIS_SORT_KEY,
            settings=settings,
        )
        self._add_index(
            names.DATE_INDEX,
            partition_key=names.DATE_INDEX_PARTITION_KEY,
            sort_key=names.DATE_INDEX_SORT_KEY,
        )

    def grant_publish(self, role: iam.IRole) -> None:
        """Let a role write the rows of a version, make them visible, and delete those of earlier versions."""
        rows = ("GetItem", "Query", "PutItem", "BatchWriteItem")
        allow(role, actions=[f"dynamodb:{action}" for action in rows], resources=[self.table.table_arn])

    def grant_read(self, role: iam.IRole) -> None:
        """Let a role read rows by key, by day and by version, and list days: no scan."""
        arn = self.table.table_arn
        allow(role, actions=["dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query"], resources=[arn])
        allow(role, actions=["dynamodb:Query"], resources=[f"{arn}/index/{names.DATE_INDEX}"])


class LedgerTable(Table):
    """What became of every file, and what every day is made of."""

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings) -> None:
        super().__init__(
            scope,
            construct_id,
            table_name=settings.name("ledger"),
            partition_key=names.LEDGER_PARTITION_KEY,
            sort_key=names.LEDGER_SORT_KEY,
            settings=settings,
        )
        self._add_index(
            names.STATUS_INDEX,
            partition_key=names.STATUS_INDEX_PARTITION_KEY,
            sort_key=names.STATUS_INDEX_SORT_KEY,
        )

    def grant_keep_books(self, role: iam.IRole) -> None:
        """Let a role read and change items; nobody deletes one."""
        items = ("GetItem", "Query", "UpdateItem")
        allow(role, actions=[f"dynamodb:{action}" for action in items], resources=[self.table.table_arn])

    def grant_list_by_status(self, role: iam.IRole) -> None:
        """Let a role list files and waiting batches, from the index."""
        allow(role, actions=["dynamodb:Query"], resources=[f"{self.table.table_arn}/index/{names.STATUS_INDEX}"])

    def grant_look_up(self, role: iam.IRole) -> None:
        """Let a role look up files, and list days."""
        allow(role, actions=["dynamodb:GetItem", "dynamodb:Query"], resources=[self.table.table_arn])

    def grant_update(self, role: iam.IRole) -> None:
        """Let a role change items and nothing else."""
        allow(role, actions=["dynamodb:UpdateItem"], resources=[self.table.table_arn])
