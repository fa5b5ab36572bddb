"""The grants of the deployed stacks: named, counted, taken out for a while."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from moto.awslambda.models import lambda_backends
from moto.iam.models import iam_backends
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends

from local_aws.iam import policy_store
from local_aws.iam.policies import without
from local_aws.iam.report import Grant, grants_of
from local_aws.server import ACCOUNT, REGION

_ROLE: Final = re.compile(r"MusicKpi-dev-(?P<stack>\w+)-(?P<name>\w+?)(?:Role)?[0-9A-F]*-[0-9A-F]{12}/(?P<policy>\w+)")
_ASSET: Final = re.compile(r"cdk-\w+-assets-.*")


JOBS: Final = ("Pipeline/ValidateBatch", "Pipeline/ComputeKpis")
"""The roles of the Glue jobs."""

REQUESTS: Final = Path(__file__).with_name("requests_of_jobs.json")
"""What the jobs asked for in real runs, one example of each kind."""

UNSEEN: Final[Mapping[str, Mapping[str, Any]]] = json.loads(
    Path(__file__).with_name("unseen.json").read_text(encoding="utf-8")
)
"""Reason to the grants whose lack is not seen here, for that reason."""


@dataclass(frozen=True, order=True)
class Name:
    """What a grant is called here, whatever hashes the CDK appends.

    Attributes:
        whose: Stack and role, with ` trust` for who may assume it; or service and name of a resource with a policy.
        action: The action.
        on: The resources of its statement, in short; of a function's policy, from where it may be invoked.
    """

    whose: str
    action: str
    on: str

    def __str__(self) -> str:
        return f"{self.whose}: {self.action} on {self.on}"


@dataclass(frozen=True)
class Deployed:
    """A grant where it is deployed.

    Attributes:
        name: What it is called here.
        policy: Name of its policy.
        statement: Place of its statement.
    """

    name: Name
    policy: str
    statement: int


def deployed_grants() -> list[Deployed]:
    """Every grant of the running embedded AWS."""
    return [
        Deployed(Name(whose(name), grant.action, _on(grant, document)), name, grant.statement)
        for name, document in policy_store.all_documents(ACCOUNT, REGION)
        for grant in grants_of(name, document)
    ]


def whose(policy: str) -> str:
    """Whose policy it is, by its name."""
    if policy.startswith("arn:"):
        parts = policy.split(":")
        return f"{parts[2]} {parts[-1].removeprefix('music-kpi-dev-')}"
    found = _ROLE.fullmatch(policy)
    if found is None:
        raise ValueError(f"not known how to name {policy}")
    trust = " trust" if found["policy"] == policy_store.TRUST else ""
    return f"{found['stack']}/{found['name']}{trust}"


def _on(grant: Grant, document: str) -> str:
    if grant.policy.startswith("arn:aws:lambda:"):
        source = json.loads(document)["Statement"][grant.statement]["Condition"]["ArnLike"]["AWS:SourceArn"]
        return str(source).partition("/")[2]
    return ", ".join(sorted({_short(resource) for resource in grant.resources}))


def _short(arn: str) -> str:
    """The part of an ARN that tells it from its like: a prefix of the bucket, a table, a queue."""
    name = arn.split(":", 5)[-1].removeprefix("music-kpi-dev-")
    if _ASSET.match(name):
        return "code"
    return name.removeprefix(f"data-{ACCOUNT}-{REGION}/").replace("music-kpi-dev-", "")


@contextmanager
def removed(grant: Deployed) -> Iterator[None]:
    """Take a grant out of its deployed policy for a while."""
    documents = dict(policy_store.all_documents(ACCOUNT, REGION))
    put = _writer(grant.policy)
    put(without(documents[grant.policy], grant.statement, grant.name.action))
    try:
        yield
    finally:
        put(documents[grant.policy])


def _writer(policy: str) -> Callable[[str], None]:
    if policy.startswith("arn:"):
        return _resource_writer(policy)
    role_name, _, name = policy.partition("/")
    (role,) = [role for role in iam_backends[ACCOUNT]["aws"].roles.values() if role.name == role_name]
    if name == policy_store.TRUST:
        return lambda document: setattr(role, "assume_role_policy_document", document)
    return lambda document: role.policies.__setitem__(name, document)


def _resource_writer(arn: str) -> Callable[[str], None]:
    service, name = arn.split(":")[2], arn.split(":")[-1]
    if service == "lambda":
        function: Any = lambda_backends[ACCOUNT][REGION].get_function(name)
        return lambda document: setattr(function.policy, "statements", json.loads(document)["Statement"])
    owner: Any = (
        sqs_backends[ACCOUNT][REGION].queues[name] if service == "sqs" else sns_backends[ACCOUNT][REGION].topics[arn]
    )
    return lambda document: setattr(owner, "policy", document)


def unseen(name: Name) -> list[str]:
    """The reasons why the lack of a grant is not seen here."""
    return [
        reason
        for reason, grants in UNSEEN.items()
        if name.whose in grants["whose"] and name.action in grants["actions"]
    ]
