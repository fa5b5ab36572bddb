"""What was asked for and what became of it, as long as the embedded AWS runs."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from local_aws.iam.policies import Caller, Decision, Request, Role


@dataclass(frozen=True)
class Use:
    """A request that somebody made, once or more often.

    Attributes:
        caller: ARN of the role, or name of the service.
        action: IAM action.
        resource: ARN, or `*`.
        context: Condition keys with their values.
        is_allowed: Whether it was allowed.
        policy: Name of the policy that decided; empty where none said anything.
        statement: Place of its statement in it, from 0; -1 where none said anything.
    """

    caller: str
    action: str
    resource: str
    context: tuple[tuple[str, tuple[str, ...]], ...]
    is_allowed: bool
    policy: str
    statement: int

    @classmethod
    def of(cls, caller: Caller, request: Request, decision: Decision) -> Use:
        """A request and what was decided about it."""
        return cls(
            caller=caller.arn if isinstance(caller, Role) else caller.name,
            action=request.action,
            resource=request.resource,
            context=tuple(sorted((key, tuple(values)) for key, values in request.context.items())),
            is_allowed=decision.is_allowed,
            policy=decision.policy.name if decision.policy else "",
            statement=decision.statement.index if decision.statement else -1,
        )

    def as_json(self) -> Mapping[str, Any]:
        """As a JSON object."""
        return {**asdict(self), "context": {key: list(values) for key, values in self.context}}


class Usage:
    """Counts uses."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[Use, int] = {}

    def count(self, use: Use) -> None:
        """Note one more of it."""
        with self._lock:
            self._counts[use] = self._counts.get(use, 0) + 1

    def counts(self) -> Mapping[Use, int]:
        """Return how often each was made so far."""
        with self._lock:
            return dict(self._counts)
