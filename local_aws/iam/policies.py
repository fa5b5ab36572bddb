"""Policy documents and what they say to a request: no network, no clock, no moto.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html, for one account without
permissions boundaries, session policies and organisations.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from local_aws.iam.conditions import Condition, UnsupportedPolicyError, as_list, read_conditions
from local_aws.iam.patterns import matches, matches_arn

_ELEMENTS: Final = frozenset(
    {"Sid", "Effect", "Principal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
)


@dataclass(frozen=True)
class Role:
    """A role that asks.

    Attributes:
        arn: Its ARN.
        session: Name of its session.
    """

    arn: str
    session: str

    @property
    def name(self) -> str:
        """Its name, without its path."""
        return self.arn.rpartition("/")[2]

    @property
    def account(self) -> str:
        """Its account."""
        return self.arn.split(":")[4]

    @property
    def session_arn(self) -> str:
        """What AWS calls it in messages."""
        partition = self.arn.split(":")[1]
        return f"arn:{partition}:sts::{self.account}:assumed-role/{self.name}/{self.session}"

    def is_meant_by(self, principal: Mapping[str, Sequence[str]], *, denies: bool) -> bool:
        """Whether the `Principal` of a resource's policy names it.

        An account stands for all in it where a statement denies; where it allows, it only leaves the matter to the
        policies of the account's own roles.
        """
        whole_account = {self.account, f"arn:{self.arn.split(':')[1]}:iam::{self.account}:root"} if denies else set()
        return not {"*", self.arn, self.session_arn, *whole_account}.isdisjoint(principal.get("AWS", ()))

    def __str__(self) -> str:
        return self.session_arn


@dataclass(frozen=True)
class Service:
    """An AWS service that asks with no role.

    Attributes:
        name: Such as `events.amazonaws.com`.
    """

    name: str

    def is_meant_by(self, principal: Mapping[str, Sequence[str]], *, denies: bool) -> bool:
        """Whether the `Principal` of a resource's policy names it, by its name or by `*`."""
        del denies
        return self.name in principal.get("Service", ()) or "*" in principal.get("AWS", ())

    def __str__(self) -> str:
        return self.name


Caller = Role | Service


@dataclass(frozen=True)
class Request:
    """What somebody wants to do.

    Attributes:
        action: IAM action, such as `s3:GetObject`.
        resource: ARN, or `*` for an action that takes no resource.
        context: Condition keys in lower case with their values.
    """

    action: str
    resource: str
    context: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Statement:
    """One statement of a policy.

    Attributes:
        index: Its place in the policy, from 0.
        allows: Whether its effect is Allow.
        actions: Patterns of actions.
        all_but_actions: Whether it is about all other actions (`NotAction`).
        resources: Patterns of ARNs; empty in a trust policy, which is about its role.
        all_but_resources: Whether it is about all other resources (`NotResource`).
        principal: Kind of principal to names, of a resource's policy only.
        conditions: All of them must hold.
    """

    index: int
    allows: bool
    actions: tuple[str, ...]
    all_but_actions: bool
    resources: tuple[str, ...]
    all_but_resources: bool
    principal: Mapping[str, tuple[str, ...]] | None
    conditions: tuple[Condition, ...]

    @classmethod
    def read(cls, index: int, statement: Mapping[str, Any]) -> Self:
        """Read a statement.

        Raises:
            UnsupportedPolicyError: It holds something that is not evaluated here.
        """
        if unknown := statement.keys() - _ELEMENTS:
            raise UnsupportedPolicyError(f"the element {', '.join(sorted(unknown))} is not evaluated here")
        resources = tuple(as_list(statement.get("Resource", statement.get("NotResource", []))))
        if any("${" in resource for resource in resources):
            raise UnsupportedPolicyError(f"the policy variable in {list(resources)} is not evaluated here")
        return cls(
            index=index,
            allows=statement["Effect"] == "Allow",
            actions=tuple(as_list(statement.get("Action", statement.get("NotAction", [])))),
            all_but_actions="NotAction" in statement,
            resources=resources,
            all_but_resources="NotResource" in statement,
            principal=_principal(statement["Principal"]) if "Principal" in statement else None,
            conditions=read_conditions(statement.get("Condition", {})),
        )

    def applies(self, caller: Caller, request: Request) -> bool:
        """Whether it is about the request of the caller."""
        return (
            self.is_about(request)
            and (self.principal is None or caller.is_meant_by(self.principal, denies=not self.allows))
            and all(condition.holds(request.context) for condition in self.conditions)
        )

    def is_about(self, request: Request) -> bool:
        """Whether it names the action and the resource."""
        action = any(matches(pattern, request.action, ignore_case=True) for pattern in self.actions)
        resource = not self.resources or any(matches_arn(pattern, request.resource) for pattern in self.resources)
        return action != self.all_but_actions and resource != self.all_but_resources


@dataclass(frozen=True)
class Policy:
    """A policy.

    Attributes:
        name: What it is called in reports.
        statements: Its statements.
    """

    name: str
    statements: tuple[Statement, ...]

    @classmethod
    def read(cls, name: str, document: str) -> Policy:
        """Read a policy document.

        Args:
            name: What it is called in reports and messages.
            document: JSON text.

        Raises:
            UnsupportedPolicyError: It holds something that is not evaluated here; the message names the policy.
        """
        return _read(name, document)


@functools.lru_cache(maxsize=1024)
def _read(name: str, document: str) -> Policy:
    statements = as_list(json.loads(document).get("Statement", []))
    try:
        return Policy(name, tuple(Statement.read(index, statement) for index, statement in enumerate(statements)))
    except UnsupportedPolicyError as error:
        raise UnsupportedPolicyError(f"policy {name}: {error}") from error


@dataclass(frozen=True)
class Decision:
    """What policies say to a request.

    Attributes:
        is_allowed: Whether it may go on.
        policy: The policy that allows or denies it; None where none of them says anything.
        statement: The statement of it.
        is_by_resource: Whether that policy is the resource's.
    """

    is_allowed: bool
    policy: Policy | None = None
    statement: Statement | None = None
    is_by_resource: bool = False

    @property
    def reason(self) -> str:
        """Why it is denied, in AWS's words; the action is left for the caller as `{action}`.

        https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
        """
        if self.policy is None:
            return "because no identity-based policy allows the {action} action"
        return f"with an explicit deny in {'a resource' if self.is_by_resource else 'an identity'}-based policy"


def decide(
    caller: Caller, request: Request, *, of_caller: Iterable[Policy] = (), of_resource: Iterable[Policy] = ()
) -> Decision:
    """Evaluate policies: a Deny wins, an Allow of either kind does, and without one it is denied.

    Args:
        caller: Who asks.
        request: What for.
        of_caller: The policies of the caller's role.
        of_resource: The policies of the resource.
    """
    found: Decision | None = None
    for policy, is_by_resource in _both(of_caller, of_resource):
        for statement in policy.statements:
            if not statement.applies(caller, request):
                continue
            decision = Decision(statement.allows, policy, statement, is_by_resource)
            if not statement.allows:
                return decision
            found = found or decision
    return found or Decision(is_allowed=False)


def _both(of_caller: Iterable[Policy], of_resource: Iterable[Policy]) -> Iterator[tuple[Policy, bool]]:
    for policy in of_caller:
        yield policy, False
    for policy in of_resource:
        yield policy, True


def without(document: str, statement: int, action: str) -> str:
    """Return a policy document without one action of one statement, and without the statement if it was its last.

    Args:
        document: JSON text.
        statement: The statement's place, from 0.
        action: One of its actions, as it is written there.

    Raises:
        ValueError: The statement has no such action.
    """
    policy = json.loads(document)
    statements = as_list(policy["Statement"])
    left = list(as_list(statements[statement]["Action"]))
    left.remove(action)
    statements[statement] = {**statements[statement], "Action": left}
    policy["Statement"] = [one for one in statements if one.get("Action") != []]
    return json.dumps(policy)


def _principal(element: Any) -> Mapping[str, tuple[str, ...]]:  # noqa: ANN401 - a text or an object
    if element == "*":
        return {"AWS": ("*",)}
    return {kind: tuple(as_list(names)) for kind, names in element.items()}
