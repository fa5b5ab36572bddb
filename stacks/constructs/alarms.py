"""How every alarm is made: named by environment, told by e-mail or shown only, and explained."""

from __future__ import annotations

from enum import Enum
from typing import Final

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from constructs import Construct

from stacks.constructs.alert_topic import AlertTopic
from stacks.settings import Settings

DOCUMENT: Final = "docs/monitoring.md"


class WithoutData(Enum):
    """What an alarm takes missing data for; the reason stands where an alarm chooses."""

    FINE = cloudwatch.TreatMissingData.NOT_BREACHING
    WRONG = cloudwatch.TreatMissingData.BREACHING


class Alarms(Construct):
    """The alarms of an environment.

    Args:
        scope: Parent construct.
        construct_id: Construct id.
        alerts: Where alarms are told.
        settings: Settings of the environment.

    Attributes:
        all: every alarm, in the order in which they were added.
    """

    def __init__(self, scope: Construct, construct_id: str, *, alerts: AlertTopic, settings: Settings) -> None:
        super().__init__(scope, construct_id)
        self._action = actions.SnsAction(alerts.topic)
        self._settings = settings
        self.all: list[cloudwatch.Alarm] = []

    def add(
        self,
        name: str,
        metric: cloudwatch.IMetric,
        *,
        at_least: float | None = None,
        below: float | None = None,
        periods: int = 1,
        without_data: WithoutData = WithoutData.FINE,
        is_told_otherwise: bool = False,
        description: str,
    ) -> None:
        """Add an alarm.

        Args:
            name: What it is called in the document, and after the environment in its own name.
            metric: What is watched.
            at_least: The value from which on it is wrong; exactly one of this and `below` is given.
            below: The value below which it is wrong.
            periods: For how many periods of the metric on end it must be wrong.
            without_data: What a period without data is taken for. Most metrics come only with an event, so that no data
                means that nothing happened.
            is_told_otherwise: Whether somebody gets an e-mail about the same cause in any case: the alarm then shows
                its state on the dashboard, and sends none.
            description: What is wrong and what to do, in a sentence or two.
        """
        is_low = at_least is None
        threshold = below if is_low else at_least
        if threshold is None:
            raise ValueError(f"The alarm {name} needs a threshold.")
        operator = cloudwatch.ComparisonOperator
        alarm = cloudwatch.Alarm(
            self,
            name,
            alarm_name=self._settings.name(name),
            alarm_description=f"{description} See {DOCUMENT}, {name}.",
            metric=metric,
            threshold=threshold,
            comparison_operator=(
                operator.LESS_THAN_THRESHOLD if is_low else operator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
            ),
            evaluation_periods=periods,
            treat_missing_data=without_data.value,
        )
        if not is_told_otherwise:
            alarm.add_alarm_action(self._action)
        self.all.append(alarm)
