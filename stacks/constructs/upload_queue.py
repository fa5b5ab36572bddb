"""The buffer between uploads and batches."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from glue_scripts import names
from stacks.constructs.data_bucket import DataBucket
from stacks.constructs.permissions import allow
from stacks.settings import Settings

_RETENTION = cdk.Duration.days(14)
"""The most that SQS offers."""

_MAX_RECEIVE_COUNT = 5


def dead_letter_queue(scope: Construct, construct_id: str, *, name: str) -> sqs.Queue:
    """A queue for what could not be delivered; somebody must look at it within 14 days."""
    return sqs.Queue(
        scope,
        construct_id,
        queue_name=name,
        retention_period=_RETENTION,
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=True,
    )


class UploadQueue(Construct):
    """A queue of S3 `Object Created` events under raw/.

    One dead-letter queue takes the events that EventBridge could not deliver and the messages that the pipe could not
    work on: the body of both is the event, so that both can be sent to the queue once more.
    """

    def __init__(self, scope: Construct, construct_id: str, *, data_bucket: DataBucket, settings: Settings) -> None:
        super().__init__(scope, construct_id)
        self.dead_letters = dead_letter_queue(self, "DeadLetters", name=settings.name("uploads-dead-letters"))
        self.queue = sqs.Queue(
            self,
            "Queue",
            queue_name=settings.name("uploads"),
            visibility_timeout=cdk.Duration.seconds(settings.visibility_timeout_seconds),
            retention_period=_RETENTION,
            dead_letter_queue=sqs.DeadLetterQueue(max_receive_count=_MAX_RECEIVE_COUNT, queue=self.dead_letters),
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
        )
        self.rule = events.Rule(
            self,
            "ObjectCreated",
            rule_name=settings.name("object-created"),
            description="Every new object under raw/ goes to the queue of uploads",
            event_pattern=events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created"],
                detail={
                    "bucket": {"name": [data_bucket.bucket.bucket_name]},
                    "object": {"key": [{"prefix": names.RAW_PREFIX}]},
                },
            ),
            targets=[targets.SqsQueue(self.queue, dead_letter_queue=self.dead_letters)],
        )

    def grant_consume(self, role: iam.IRole) -> None:
        """Let a role receive and delete messages."""
        consume = ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")
        allow(role, actions=[f"sqs:{action}" for action in consume], resources=[self.queue.queue_arn])
