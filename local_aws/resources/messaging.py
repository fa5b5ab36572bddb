"""Topics and queues, their subscriptions and policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from local_aws.resources.base import Created, Creator, Properties, Target, json_text

_TOPIC_ATTRIBUTES: Final = ("DisplayName", "KmsMasterKeyId", "TracingConfig", "SignatureVersion", "FifoTopic")
_SUBSCRIPTION_ATTRIBUTES: Final = (
    "DeliveryPolicy",
    "FilterPolicy",
    "FilterPolicyScope",
    "RawMessageDelivery",
    "RedrivePolicy",
)
_QUEUE_ATTRIBUTES: Final = (
    "ContentBasedDeduplication",
    "DeduplicationScope",
    "DelaySeconds",
    "FifoQueue",
    "FifoThroughputLimit",
    "KmsDataKeyReusePeriodSeconds",
    "KmsMasterKeyId",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "ReceiveMessageWaitTimeSeconds",
    "RedriveAllowPolicy",
    "RedrivePolicy",
    "SqsManagedSseEnabled",
    "VisibilityTimeout",
)


def create_topic(target: Target, properties: Properties) -> Created:
    """Create a topic and the subscriptions that its template carries inline."""
    name = properties.optional("TopicName") or properties.generated_name(max_length=256)
    sns = target.client("sns")
    arn = sns.create_topic(
        Name=name, Attributes=_as_text(properties.present(*_TOPIC_ATTRIBUTES)), Tags=properties.tags()
    )["TopicArn"]
    for subscription in properties.optional("Subscription", []):
        sns.subscribe(TopicArn=arn, Protocol=subscription["Protocol"], Endpoint=subscription["Endpoint"])
    return Created(ref=arn, attributes={"TopicArn": arn, "TopicName": name})


def create_subscription(target: Target, properties: Properties) -> Created:
    """Subscribe an endpoint to a topic."""
    arn = target.client("sns").subscribe(
        TopicArn=properties.required("TopicArn"),
        Protocol=properties.required("Protocol"),
        Endpoint=properties.optional("Endpoint", ""),
        Attributes=_as_text(properties.present(*_SUBSCRIPTION_ATTRIBUTES)),
        ReturnSubscriptionArn=True,
    )["SubscriptionArn"]
    properties.ignore("Region", reason="there is one region on the laptop")
    return Created(ref=arn, attributes={"Arn": arn})


def create_topic_policy(target: Target, properties: Properties) -> Created:
    """Put the policy of topics."""
    policy = json_text(properties.required("PolicyDocument"))
    topics = properties.required("Topics")
    for arn in topics:
        target.client("sns").set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=policy)
    return Created(ref=topics[0])


def create_queue(target: Target, properties: Properties) -> Created:
    """Create a queue with its redrive policy."""
    fifo = properties.optional("FifoQueue", False)
    name = properties.optional("QueueName") or properties.generated_name(max_length=75) + (".fifo" if fifo else "")
    url = target.client("sqs").create_queue(
        QueueName=name,
        Attributes=_as_text(properties.present(*_QUEUE_ATTRIBUTES)),
        tags={tag["Key"]: tag["Value"] for tag in properties.tags()},
    )["QueueUrl"]
    return Created(ref=url, attributes={"Arn": target.arn("sqs", name), "QueueName": name, "QueueUrl": url})


def create_queue_policy(target: Target, properties: Properties) -> Created:
    """Put the policy of queues."""
    policy = json_text(properties.required("PolicyDocument"))
    queues = properties.required("Queues")
    for url in queues:
        target.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    return Created(ref=queues[0])


def _as_text(attributes: Mapping[str, Any]) -> dict[str, str]:
    return {name: json_text(value) for name, value in attributes.items()}


CREATORS: Final[Mapping[str, Creator]] = {
    "AWS::SNS::Subscription": create_subscription,
    "AWS::SNS::Topic": create_topic,
    "AWS::SNS::TopicPolicy": create_topic_policy,
    "AWS::SQS::Queue": create_queue,
    "AWS::SQS::QueuePolicy": create_queue_policy,
}
