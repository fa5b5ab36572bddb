"""From queued uploads to one execution per batch."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_pipes as pipes
from constructs import Construct

from stacks.constructs.log_groups import log_group
from stacks.constructs.permissions import service_role
from stacks.constructs.state_machine import StateMachine
from stacks.constructs.upload_queue import UploadQueue
from stacks.settings import Settings


class BatchPipe(Construct):
    """An EventBridge pipe that collects uploads for a window and starts one execution with all of them.

    The execution's input is the list of the events' `detail` objects. A message leaves the queue once its execution
    has been started; the execution itself is not waited for.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, source: UploadQueue, target: StateMachine, settings: Settings
    ) -> None:
        super().__init__(scope, construct_id)
        name = settings.name("uploads")
        role = service_role(
            self,
            "Role",
            service="pipes.amazonaws.com",
            source_arn=cdk.Stack.of(self).format_arn(service="pipes", resource="pipe", resource_name=name),
            description="Collects uploads into batches and starts the pipeline",
        )
        source.grant_consume(role)
        target.grant_start(role)
        # Under /aws/vendedlogs/: the log group's resource policy of the account is limited to 5,120 characters, and AWS
        # needs no further entry for groups of this name.
        logs = log_group(self, "Logs", name=f"/aws/vendedlogs/pipes/{name}", settings=settings)
        self.pipe = pipes.CfnPipe(
            self,
            "Pipe",
            name=name,
            description="One execution of the pipeline per batch of uploads",
            role_arn=role.role_arn,
            source=source.queue.queue_arn,
            source_parameters=pipes.CfnPipe.PipeSourceParametersProperty(
                sqs_queue_parameters=pipes.CfnPipe.PipeSourceSqsQueueParametersProperty(
                    batch_size=settings.batch_size,
                    maximum_batching_window_in_seconds=settings.batch_window_seconds,
                )
            ),
            target=target.machine.state_machine_arn,
            target_parameters=pipes.CfnPipe.PipeTargetParametersProperty(
                input_template="<$.body.detail>",
                step_function_state_machine_parameters=pipes.CfnPipe.PipeTargetStateMachineParametersProperty(
                    invocation_type="FIRE_AND_FORGET"
                ),
            ),
            log_configuration=pipes.CfnPipe.PipeLogConfigurationProperty(
                level="ERROR",
                include_execution_data=["ALL"],
                cloudwatch_logs_log_destination=pipes.CfnPipe.CloudwatchLogsLogDestinationProperty(
                    log_group_arn=logs.log_group_arn
                ),
            ),
        )
        # A pipe that is created before its role may read the queue fails.
        self.pipe.node.add_dependency(role)
