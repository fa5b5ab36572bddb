"""Each grant of the Glue jobs is needed by something that a real run asks for.

`requests_of_jobs.json` holds what the jobs asked for in real runs, one example of each kind; tests/end_to_end/
test_permissions.py records it. Here the deployed policies are evaluated without one grant at a time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from local_aws.iam import policy_store
from local_aws.iam.policies import Policy, Request, Role, Service, decide, without
from local_aws.server import ACCOUNT, REGION
from tests.permissions.conftest import Stacks
from tests.permissions.grants import JOBS, REQUESTS, Deployed, deployed_grants, unseen, whose


def recorded(job: str) -> list[tuple[Role | Service, Request]]:
    """What a job, or Glue for it, asked for."""
    entries: list[Mapping[str, Any]] = json.loads(REQUESTS.read_text(encoding="utf-8"))
    return [
        (_caller(entry["caller"]), Request(entry["action"], entry["resource"], entry["context"]))
        for entry in entries
        if entry["job"] == job
    ]


def _caller(name: str) -> Role | Service:
    return Service(name) if name.endswith(".amazonaws.com") else Role(f"arn:aws:iam::{ACCOUNT}:role/{name}", "session")


def denied(job: str, documents: Mapping[str, str]) -> set[str]:
    """The actions of the recorded requests that some policies do not allow."""
    found = set()
    for caller, request in recorded(job):
        is_trust = isinstance(caller, Service)
        policies = [
            Policy.read(name, document)
            for name, document in documents.items()
            if whose(name) == (f"{job} trust" if is_trust else job)
        ]
        of_caller, of_resource = ([], policies) if is_trust else (policies, [])
        if not decide(caller, request, of_caller=of_caller, of_resource=of_resource).is_allowed:
            found.add(request.action)
    return found


def job_grants() -> list[Deployed]:
    return [grant for grant in deployed_grants() if grant.name.whose.removesuffix(" trust") in JOBS]


@pytest.mark.parametrize("job", JOBS)
def test_all_that_the_jobs_ask_for_is_allowed(stacks: Stacks, job: str) -> None:
    assert recorded(job)
    assert denied(job, dict(policy_store.all_documents(ACCOUNT, REGION))) == set()


def test_without_any_one_grant_something_that_a_job_asks_for_is_denied(
    stacks: Stacks, subtests: pytest.Subtests
) -> None:
    documents = dict(policy_store.all_documents(ACCOUNT, REGION))
    for grant in job_grants():
        if unseen(grant.name):
            continue
        with subtests.test(str(grant.name)):
            changed = {**documents, grant.policy: without(documents[grant.policy], grant.statement, grant.name.action)}
            assert denied(grant.name.whose.removesuffix(" trust"), changed) == {grant.name.action}
