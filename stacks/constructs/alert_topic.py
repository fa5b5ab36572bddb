"""Where e-mails to people come from."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from stacks.constructs.permissions import allow
from stacks.settings import Settings


class AlertTopic(Construct):
    """A topic with an e-mail subscription per address.

    Not encrypted with a key: a CloudWatch alarm cannot publish to a topic under `alias/aws/sns`, and a customer key
    would cost more than it protects, because alerts name files and counts, never a person.
    """

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings) -> None:
        super().__init__(scope, construct_id)
        self.topic = sns.Topic(
            self,
            "Topic",
            topic_name=settings.name("alerts"),
            display_name=f"Music KPI {settings.environment}",
            enforce_ssl=True,
        )
        self.topic.apply_removal_policy(cdk.RemovalPolicy.RETAIN if settings.retain_data else cdk.RemovalPolicy.DESTROY)
        for email in settings.alert_emails:
            self.topic.add_subscription(subscriptions.EmailSubscription(email))
        # State machines publish with their own roles. These two services publish by the topic's policy.
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsAndRulesOfThisAccount",
                principals=[
                    iam.ServicePrincipal("cloudwatch.amazonaws.com"),
                    iam.ServicePrincipal("events.amazonaws.com"),
                ],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": cdk.Stack.of(self).account}},
            )
        )

    def grant_publish(self, role: iam.IRole) -> None:
        """Let a role send alerts."""
        allow(role, actions=["sns:Publish"], resources=[self.topic.topic_arn])
