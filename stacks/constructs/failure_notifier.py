"""The e-mail about an execution that did not succeed."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from constructs import Construct

from stacks.constructs.alert_topic import AlertTopic
from stacks.constructs.data_bucket import DataBucket
from stacks.constructs.glue_spark_job import GlueSparkJob
from stacks.constructs.permissions import acknowledge, service_role
from stacks.constructs.state_machine import StateMachine
from stacks.constructs.upload_queue import dead_letter_queue
from stacks.settings import Settings


class FailureNotifier(Construct):
    """A rule on the status of executions, and a small state machine that writes the e-mail.

    From outside of the pipeline, so that timeouts, aborts and errors in a Choice are told, too. A state machine and not
    the topic as the rule's target, because that could not set a subject.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        pipeline: StateMachine,
        validate_batch: GlueSparkJob,
        compute_kpis: GlueSparkJob,
        data_bucket: DataBucket,
        alerts: AlertTopic,
        settings: Settings,
    ) -> None:
        super().__init__(scope, construct_id)
        self.notifier = StateMachine(
            self,
            "NotifyFailure",
            name=settings.name("notify-failure"),
            definition="notify_failure.asl.json",
            substitutions={
                "AlertTopicArn": alerts.topic.topic_arn,
                "DataBucket": data_bucket.bucket.bucket_name,
                "ValidateBatchJob": validate_batch.job.job_name,
                "ComputeKpisJob": compute_kpis.job.job_name,
                "Environment": settings.environment,
                "Runbook": settings.runbook,
            },
            settings=settings,
        )
        pipeline.grant_read_history(self.notifier.role)
        pipeline.grant_list_executions(self.notifier.role)
        data_bucket.grant_read_verdicts(self.notifier.role)
        alerts.grant_publish(self.notifier.role)

        rule_name = settings.name("execution-failed")
        role = service_role(
            self,
            "RuleRole",
            service="events.amazonaws.com",
            source_arn=cdk.Stack.of(self).format_arn(service="events", resource="rule", resource_name=rule_name),
            description="Starts the notifier of failed executions",
        )
        self.dead_letters = dead_letter_queue(self, "DeadLetters", name=settings.name("notify-failure-dead-letters"))
        acknowledge(
            self.dead_letters,
            "AwsSolutions-SQS3",
            "It is a dead-letter queue itself, of a rule: cdk-nag knows those of queues only.",
        )
        self.rule = events.Rule(
            self,
            "ExecutionFailed",
            rule_name=rule_name,
            description="An execution of the pipeline that failed, timed out or was aborted starts the notifier",
            event_pattern=events.EventPattern(
                source=["aws.states"],
                detail_type=["Step Functions Execution Status Change"],
                detail={
                    "status": ["FAILED", "TIMED_OUT", "ABORTED"],
                    "stateMachineArn": [pipeline.machine.state_machine_arn],
                },
            ),
            targets=[targets.SfnStateMachine(self.notifier.machine, role=role, dead_letter_queue=self.dead_letters)],
        )
