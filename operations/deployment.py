"""A deployed environment: its resources by name, and the clients to reach them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import boto3
from botocore.exceptions import ClientError

from glue_scripts.kpi_table import KpiTable
from glue_scripts.ledger import Ledger
from operations.errors import NoRegionError, UnknownEnvironmentError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table
    from mypy_boto3_glue.client import GlueClient
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_stepfunctions.client import SFNClient

PREFIX: Final = "music-kpi"
"""Every name begins with it: `stacks.settings.PREFIX`, which a test compares."""


def session_of(environ: Mapping[str, str]) -> boto3.Session:
    """Returns a session in the region that AWS_REGION, AWS_DEFAULT_REGION or the profile names, in this order.

    AWS's other tools know AWS_REGION; this boto3 reads only AWS_DEFAULT_REGION.

    Args:
        environ: the environment variables.

    Raises:
        NoRegionError: none of them names one.
    """
    session = boto3.Session(region_name=environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION"))
    if not session.region_name:
        raise NoRegionError("No region is set: set AWS_REGION to the region where the pipeline is deployed.")
    return session


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """One environment in one account and region.

    Attributes:
        environment: dev, staging or prod.
        bucket: the data bucket's name.
        state_machine_arn: of the pipeline.
        recompute_machine_arn: of the state machine that computes days for the operator.
        validate_batch_job: name of the Glue job.
        compute_kpis_job: name of the Glue job.
        pipe: name of the pipe from the upload queue to the pipeline.
        ledger_table: what became of files and days.
        kpis_table: the KPI rows.
    """

    environment: str
    bucket: str
    state_machine_arn: str
    recompute_machine_arn: str
    validate_batch_job: str
    compute_kpis_job: str
    pipe: str
    ledger_table: Table
    kpis_table: Table
    s3: S3Client
    sqs: SQSClient
    glue: GlueClient
    step_functions: SFNClient
    pipes: Any  # boto3-stubs[pipes] is not among the requirements for three calls

    @classmethod
    def find(cls, environment: str) -> Self:
        """Finds an environment by the names that the stacks give.

        The account is that of the credentials; `AWS_ENDPOINT_URL` leads to the embedded AWS.

        Raises:
            NoRegionError: no region is set.
            UnknownEnvironmentError: there is no such environment.
        """
        session = session_of(os.environ)
        caller = session.client("sts").get_caller_identity()["Arn"].split(":")
        partition, account, region = caller[1], caller[4], session.region_name

        def name(of: str) -> str:
            return f"{PREFIX}-{environment}-{of}"

        dynamodb = session.resource("dynamodb")
        deployment = cls(
            environment=environment,
            bucket=f"{name('data')}-{account}-{region}",
            state_machine_arn=f"arn:{partition}:states:{region}:{account}:stateMachine:{name('pipeline')}",
            recompute_machine_arn=f"arn:{partition}:states:{region}:{account}:stateMachine:{name('recompute')}",
            validate_batch_job=name("validate-batch"),
            compute_kpis_job=name("compute-kpis"),
            pipe=name("uploads"),
            ledger_table=dynamodb.Table(name("ledger")),
            kpis_table=dynamodb.Table(name("kpis")),
            s3=session.client("s3"),
            sqs=session.client("sqs"),
            glue=session.client("glue"),
            step_functions=session.client("stepfunctions"),
            pipes=session.client("pipes"),
        )
        try:
            deployment.s3.head_bucket(Bucket=deployment.bucket)
            deployment.ledger_table.load()
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("404", "NoSuchBucket", "ResourceNotFoundException"):
                raise
            raise UnknownEnvironmentError(
                f"There is no environment {environment!r} in account {account}, region {region}: check --env, and that "
                "AWS_PROFILE, AWS_REGION and AWS_ENDPOINT_URL lead to where it is deployed."
            ) from error
        return deployment

    @property
    def ledger(self) -> Ledger:
        """The ledger."""
        return Ledger(self.ledger_table)

    @property
    def kpi_table(self) -> KpiTable:
        """The KPIs."""
        return KpiTable(self.kpis_table)

    @property
    def upload_queue_url(self) -> str:
        """Where events of new files wait for the pipe."""
        return self._queue_url("uploads")

    @property
    def dead_letter_queue_url(self) -> str:
        """Where events are that the rule could not deliver, and messages that the pipe could not work on."""
        return self._queue_url("uploads-dead-letters")

    @property
    def notifier_dead_letter_queue_url(self) -> str:
        """Where events about failed executions are that the notifier could not be started for."""
        return self._queue_url("notify-failure-dead-letters")

    def _queue_url(self, of: str) -> str:
        return self.sqs.get_queue_url(QueueName=f"{PREFIX}-{self.environment}-{of}")["QueueUrl"]
