"""A state machine from its definition file, with a role of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from stacks.constructs.log_groups import log_group
from stacks.constructs.permissions import acknowledge, allow, service_role
from stacks.settings import Settings

DEFINITIONS: Final = Path(__file__).parents[2] / "state_machines"


class StateMachine(Construct):
    """A Standard state machine that is logged and traced.

    Args:
        scope: Parent construct.
        construct_id: Construct id.
        name: Physical name.
        definition: File name in state_machines/.
        substitutions: What takes the place of each `${…}` in the definition: names, ARNs and numbers only.
        settings: Settings of the environment.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        definition: str,
        substitutions: Mapping[str, str],
        settings: Settings,
    ) -> None:
        super().__init__(scope, construct_id)
        stack = cdk.Stack.of(self)
        self.arn = stack.format_arn(
            service="states",
            resource="stateMachine",
            resource_name=name,
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        self._execution_arns = stack.format_arn(
            service="states",
            resource="execution",
            resource_name=f"{name}:*",
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        self.role = service_role(
            self, "Role", service="states.amazonaws.com", source_arn=self.arn, description=f"What {name} may do"
        )
        self.machine = sfn.StateMachine(
            self,
            "StateMachine",
            state_machine_name=name,
            # As text and not as an asset: what changed in a definition is then seen in `cdk diff`.
            definition_body=sfn.DefinitionBody.from_string((DEFINITIONS / definition).read_text(encoding="utf-8")),
            definition_substitutions=dict(substitutions),
            role=self.role,
            tracing_enabled=True,
            logs=sfn.LogOptions(
                # Under /aws/vendedlogs/: other names count against a resource policy limited to 5,120 characters.
                destination=log_group(self, "Logs", name=f"/aws/vendedlogs/states/{name}", settings=settings),
                level=sfn.LogLevel.ALL,
                include_execution_data=False,  # the console has it for 90 days, and logs would outlive a purge
            ),
        )
        acknowledge(
            self.role,
            "AwsSolutions-IAM5[Resource::*]",
            "The actions of log delivery and of X-Ray take no resource: "
            "https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html, xray-iam.html",
        )

    def grant_start(self, role: iam.IRole) -> None:
        """Let a role start executions."""
        allow(role, actions=["states:StartExecution"], resources=[self.machine.state_machine_arn])

    def grant_start_itself(self) -> None:
        """Let an execution start others of the same machine.

        The ARN is made of the name: the machine needs the role's policy, so that a reference back would be a cycle.
        """
        allow(self.role, actions=["states:StartExecution"], resources=[self.arn])

    def grant_read_history(self, role: iam.IRole) -> None:
        """Let a role read how executions ended, and where."""
        allow(
            role,
            actions=["states:GetExecutionHistory"],
            resources=[self._execution_arns],
            wildcard_because="An execution gets its name when it starts.",
        )

    def grant_list_executions(self, role: iam.IRole) -> None:
        """Let a role list executions with their statuses."""
        allow(role, actions=["states:ListExecutions"], resources=[self.machine.state_machine_arn])
