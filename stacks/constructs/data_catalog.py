"""Tables over the bucket, so that Athena answers questions about quality and plays without a crawler."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_glue as glue
from constructs import Construct

from stacks.constructs.data_bucket import DataBucket
from stacks.constructs.lake_tables import LAKE_TABLES, LakeTable
from stacks.settings import Settings


class DataCatalog(Construct):
    """A database of the Glue Data Catalog with a table for each of LAKE_TABLES.

    Their partitions are projected from the names of folders: nothing has to be registered when files come
    (https://docs.aws.amazon.com/athena/latest/ug/partition-projection.html). A table grants nothing: who queries it
    needs to read the objects, which hold user ids.
    """

    def __init__(self, scope: Construct, construct_id: str, *, data_bucket: DataBucket, settings: Settings) -> None:
        super().__init__(scope, construct_id)
        catalog_id = cdk.Stack.of(self).account
        # Athena wants no hyphens: https://docs.aws.amazon.com/athena/latest/ug/tables-databases-columns-names.html
        database_name = settings.name("lake").replace("-", "_")
        database = glue.CfnDatabase(
            self,
            "Database",
            catalog_id=catalog_id,
            database_input=glue.CfnDatabase.DatabaseInputProperty(
                name=database_name, description=f"Quality and plays of the music KPI pipeline ({settings.environment})"
            ),
        )
        for lake_table in LAKE_TABLES:
            table = glue.CfnTable(
                self,
                lake_table.name.title(),
                catalog_id=catalog_id,
                database_name=database_name,
                table_input=_table_input(lake_table, f"s3://{data_bucket.bucket.bucket_name}/{lake_table.prefix}"),
            )
            table.add_resource_dependency(database)


def _table_input(table: LakeTable, location: str) -> glue.CfnTable.TableInputProperty:
    column = glue.CfnTable.ColumnProperty
    projection = {
        f"projection.{name}.{key}": value
        for name, properties in table.partitions.items()
        for key, value in properties.items()
    }
    return glue.CfnTable.TableInputProperty(
        name=table.name,
        description=table.description,
        table_type="EXTERNAL_TABLE",
        partition_keys=[column(name=name, type="string") for name in table.partitions],
        parameters={
            "EXTERNAL": "TRUE",
            "projection.enabled": "true",
            "storage.location.template": location + table.folder,
            **projection,
        },
        storage_descriptor=glue.CfnTable.StorageDescriptorProperty(
            location=location,
            columns=[column(name=name, type=kind) for name, kind in table.columns],
            input_format=table.format.input_format,
            output_format=table.format.output_format,
            serde_info=glue.CfnTable.SerdeInfoProperty(serialization_library=table.format.serde),
        ),
    )
