"""The alarm about the KPI API."""

from __future__ import annotations

from stacks.api_stack import ApiStack
from stacks.constructs.alarms import Alarms
from stacks.constructs.metrics import MINUTES_5


def add_api_alarms(alarms: Alarms, *, api: ApiStack) -> None:
    """What callers cannot mend: what is wrong with a request is their 4xx."""
    alarms.add(
        "api-errors",
        api.rest_api.api.metric_server_error(period=MINUTES_5),
        at_least=5,
        periods=2,
        description="The KPI API answers requests with 5xx for ten minutes.",
    )
