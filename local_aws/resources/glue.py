"""Glue jobs, databases, tables and security configurations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from local_aws.resources.base import Created, Creator, Properties, Target

_JOB_PROPERTIES: Final = (
    "AllocatedCapacity",
    "Connections",
    "DefaultArguments",
    "Description",
    "ExecutionClass",
    "ExecutionProperty",
    "GlueVersion",
    "JobMode",
    "JobRunQueuingEnabled",
    "LogUri",
    "MaintenanceWindow",
    "MaxCapacity",
    "MaxRetries",
    "NonOverridableArguments",
    "NotificationProperty",
    "NumberOfWorkers",
    "SecurityConfiguration",
    "Tags",
    "Timeout",
    "WorkerType",
)


def create_job(target: Target, properties: Properties) -> Created:
    """Create a job; `local_aws.glue_jobs` runs it."""
    name = properties.optional("Name") or properties.generated_name(max_length=255)
    target.client("glue").create_job(
        Name=name,
        Command=properties.required("Command"),
        Role=properties.required("Role"),
        **properties.present(*_JOB_PROPERTIES),
    )
    return Created(ref=name)


def create_database(target: Target, properties: Properties) -> Created:
    """Create a database of the catalogue."""
    database = properties.required("DatabaseInput")
    name = database.get("Name") or properties.generated_name(max_length=255).lower()
    target.client("glue").create_database(DatabaseInput={**database, "Name": name})
    properties.ignore("CatalogId", "DatabaseName", reason="there is one catalogue; the name is in DatabaseInput")
    return Created(ref=name)


def create_table(target: Target, properties: Properties) -> Created:
    """Create a table of the catalogue: shown by the API, read by nobody on the laptop."""
    table = properties.required("TableInput")
    name = table.get("Name") or properties.generated_name(max_length=255).lower()
    target.client("glue").create_table(
        DatabaseName=properties.required("DatabaseName"), TableInput={**table, "Name": name}
    )
    properties.ignore("CatalogId", "Name", reason="there is one catalogue; the name is in TableInput")
    return Created(ref=name)


def create_security_configuration(target: Target, properties: Properties) -> Created:
    """Create a security configuration, which the jobs on the laptop do not use."""
    name = properties.required("Name")
    encryption = dict(properties.required("EncryptionConfiguration"))
    if "S3Encryptions" in encryption:
        encryption["S3Encryption"] = encryption.pop("S3Encryptions")
    target.client("glue").create_security_configuration(Name=name, EncryptionConfiguration=encryption)
    return Created(ref=name)


CREATORS: Final[Mapping[str, Creator]] = {
    "AWS::Glue::Database": create_database,
    "AWS::Glue::Job": create_job,
    "AWS::Glue::SecurityConfiguration": create_security_configuration,
    "AWS::Glue::Table": create_table,
}
