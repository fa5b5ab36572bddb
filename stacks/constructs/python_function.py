"""A Lambda function in plain Python, with its own role and log group."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from stacks.constructs.log_groups import log_group
from stacks.constructs.permissions import acknowledge, allow
from stacks.packaging import build_zip
from stacks.settings import Settings

_ROOT: Final = Path(__file__).parents[2]

TIMEOUT: Final = cdk.Duration.seconds(10)
MEMORY_MB: Final = 512
"""A function gets CPU in proportion to its memory: 512 MB is 29 % of a vCPU, and loading boto3 wants some."""


class PythonFunction(Construct):
    """A function whose code is packages of this repository, on a runtime that brings boto3.

    Args:
        scope: Parent construct.
        construct_id: Construct id.
        name: Physical name.
        handler: `package.module.function`.
        packages: Top-level folders of this repository that go into the zip.
        environment: Environment variables.
        settings: Settings of the environment.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        handler: str,
        packages: Sequence[str],
        environment: Mapping[str, str],
        settings: Settings,
    ) -> None:
        super().__init__(scope, construct_id)
        group = log_group(self, "Logs", name=f"/aws/lambda/{name}", settings=settings)
        self.role = self._role(name, group)
        with _zip_of(packages) as zip_file:
            self.function = lambda_.Function(
                self,
                "Function",
                function_name=name,
                # Without updates: the construct would add statements with wildcards that nobody explains.
                role=self.role.without_policy_updates(),
                runtime=lambda_.Runtime.PYTHON_3_13,
                architecture=lambda_.Architecture.ARM_64,
                handler=handler,
                code=lambda_.Code.from_asset(zip_file),
                environment=dict(environment),
                timeout=TIMEOUT,
                memory_size=MEMORY_MB,
                tracing=lambda_.Tracing.ACTIVE,
                log_group=group,
            )
        acknowledge(
            self.function,
            "AwsSolutions-L1",
            "Python 3.13 is supported until 2029. The tests run on Glue's Python and check that the functions' code is "
            "valid on both; each further version between them is one more to differ.",
        )

    def _role(self, name: str, group: logs.LogGroup) -> iam.Role:
        stack = cdk.Stack.of(self)
        # Only if Lambda tells for whom it works, which it does not document for execution roles. Nobody can pass this
        # role in another account.
        principal = iam.ServicePrincipal(
            "lambda.amazonaws.com", conditions={"StringEqualsIfExists": {"aws:SourceAccount": stack.account}}
        )
        role = iam.Role(self, "Role", assumed_by=principal, description=f"What the function {name} may do")
        allow(
            role,
            actions=["logs:CreateLogStream", "logs:PutLogEvents"],
            resources=[group.log_group_arn],
            wildcard_because="Lambda names the log streams of the function's own group.",
        )
        allow(
            role,
            actions=["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
            resources=["*"],
            wildcard_because="X-Ray's actions take no resource.",
        )
        return role


@contextmanager
def _zip_of(packages: Sequence[str]) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        zip_file = Path(folder) / "packages.zip"
        build_zip([_ROOT / package for package in packages], zip_file)
        yield str(zip_file)
