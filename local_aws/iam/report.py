"""What became of the deployed permissions in a run: used, granted and not used, and denied."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from local_aws.iam.conditions import as_list
from local_aws.iam.usage import Use

JSON_NAME: Final = "permissions.json"
TEXT_NAME: Final = "permissions.txt"


@dataclass(frozen=True, order=True)
class Grant:
    """One action of one statement that allows.

    Attributes:
        policy: Name of the policy: of a role `<role>/<policy>`, of a resource its ARN.
        statement: Place of the statement in it, from 0.
        action: The action, as it is written there.
        resources: The resources, as they are written there; empty in a trust policy.
    """

    policy: str
    statement: int
    action: str
    resources: tuple[str, ...]

    def __str__(self) -> str:
        on = f" on {', '.join(self.resources)}" if self.resources else ""
        return f"{self.policy}, statement {self.statement}: {self.action}{on}"


def grants_of(name: str, document: str) -> Iterator[Grant]:
    """Yield what a policy grants.

    Args:
        name: Name of the policy.
        document: JSON text.
    """
    for index, statement in enumerate(as_list(json.loads(document).get("Statement", []))):
        if statement["Effect"] == "Allow":
            for action in as_list(statement.get("Action", [])):
                yield Grant(name, index, action, tuple(as_list(statement.get("Resource", []))))


@dataclass(frozen=True)
class Report:
    """The report.

    Attributes:
        used: Grants that allowed something, and how often.
        unused: Grants that allowed nothing; of two that allow the same, the second.
        requests: What was asked for, and how often.
    """

    used: Mapping[Grant, int]
    unused: tuple[Grant, ...]
    requests: Mapping[Use, int]

    @classmethod
    def of(cls, documents: Iterable[tuple[str, str]], requests: Mapping[Use, int]) -> Report:
        """Make the report.

        Args:
            documents: Name and JSON text of every policy.
            requests: What was asked for, and how often.
        """
        grants = [grant for name, document in documents for grant in grants_of(name, document)]
        counts: Counter[tuple[str, int, str]] = Counter()
        for use, count in requests.items():
            if use.is_allowed:
                counts[use.policy, use.statement, use.action.lower()] += count
        of_grant = {grant: counts[grant.policy, grant.statement, grant.action.lower()] for grant in grants}
        return cls(
            used={grant: count for grant, count in of_grant.items() if count},
            unused=tuple(sorted(grant for grant, count in of_grant.items() if not count)),
            requests=requests,
        )

    def as_json(self) -> Mapping[str, Any]:
        """As a JSON object."""
        requests = [{**use.as_json(), "count": count} for use, count in self.requests.items()]
        return {
            "used": [{**_as_json(grant), "count": count} for grant, count in sorted(self.used.items())],
            "unused": [_as_json(grant) for grant in self.unused],
            "denied": [request for request in requests if not request["is_allowed"]],
            "allowed": [request for request in requests if request["is_allowed"]],
        }

    def as_text(self) -> str:
        """As a page to read."""
        denied = sorted({(use.caller, use.action, use.resource) for use in self.requests if not use.is_allowed})
        lines = [
            f"Permissions used: {len(self.used)}",
            *(f"  {count:6}  {grant}" for grant, count in sorted(self.used.items())),
            f"Granted and not used: {len(self.unused)}",
            *(f"  {grant}" for grant in self.unused),
            f"Denied: {len(denied)}",
            *(f"  {caller}: {action} on {resource}" for caller, action, resource in denied),
        ]
        return "\n".join(lines) + "\n"

    def write(self, folder: Path) -> None:
        """Write both forms into a folder."""
        (folder / JSON_NAME).write_text(json.dumps(self.as_json(), indent=1) + "\n", encoding="utf-8")
        (folder / TEXT_NAME).write_text(self.as_text(), encoding="utf-8")


def _as_json(grant: Grant) -> Mapping[str, Any]:
    return {
        "policy": grant.policy,
        "statement": grant.statement,
        "action": grant.action,
        "resources": list(grant.resources),
    }
