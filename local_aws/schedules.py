"""EventBridge rules with a schedule: moto keeps them, and here they fire.

`rate(…)` is known and `cron(…)` is not.
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
"""

from __future__ import annotations

import logging
import math
import re
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any, Final

from moto.events.models import events_backends

from local_aws import events
from local_aws.patching import MotoObject

FIRST_RUN_SECONDS: Final = 2.0
"""How long after a rule is noticed it fires for the first time; on AWS that is a whole period."""

_LOG: Final = logging.getLogger(__name__)

_TICK_SECONDS: Final = 0.5
_RATE: Final = re.compile(r"rate\((?:1 (minute|hour|day)|([2-9]|[1-9]\d+) (minute|hour|day)s)\)")
_UNIT_SECONDS: Final = {"minute": 60, "hour": 3600, "day": 86400}


class UnsupportedScheduleError(Exception):
    """A schedule expression that is not `rate(…)`."""


def period_seconds(expression: str) -> int:
    """Return the period of a schedule, in seconds.

    Args:
        expression: Such as `rate(5 minutes)`.

    Raises:
        UnsupportedScheduleError: It is something else; AWS, too, takes `1 minute` and `5 minutes` only.
    """
    if match := _RATE.fullmatch(expression):
        single, number, unit = match.groups()
        return int(number or 1) * _UNIT_SECONDS[single or unit]
    raise UnsupportedScheduleError("only rate(<number> minutes|hours|days) is known")


class ScheduledRules:
    """Fires the rules of an account that have a schedule and are enabled, from a thread.

    A target that cannot be reached costs nothing but a line in the log, or goes to its dead letter queue.

    Args:
        account: Account id.
        region: Region.
        first_run_seconds: How long after a rule is noticed it fires for the first time.
    """

    def __init__(self, account: str, region: str, *, first_run_seconds: float = FIRST_RUN_SECONDS) -> None:
        self._account = account
        self._region = region
        self._first_run_seconds = first_run_seconds
        self._due: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="schedules")

    def start(self) -> None:
        """Begin to fire."""
        self._thread.start()

    def close(self) -> None:
        """Fire no more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_TICK_SECONDS):
            for rule in self._due_rules(time.monotonic()):
                events.deliver(rule, self._event(rule))

    def _due_rules(self, now: float) -> Iterator[MotoObject]:
        for rule in tuple(events_backends[self._account][self._region].event_buses["default"].rules.values()):
            if rule.scheduled_expression and now >= self._due.setdefault(rule.arn, now + self._first_run_seconds):
                try:
                    self._due[rule.arn] = now + period_seconds(rule.scheduled_expression)
                except UnsupportedScheduleError as error:
                    self._due[rule.arn] = math.inf
                    _LOG.warning("rule %s never fires, %s: %s", rule.name, rule.scheduled_expression, error)
                else:
                    yield rule

    def _event(self, rule: MotoObject) -> dict[str, Any]:
        return {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": self._account,
            "time": time.time(),
            "region": self._region,
            "resources": [rule.arn],
            "detail": {},
        }
