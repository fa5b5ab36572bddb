"""Taking any grant of a state machine, the pipe, a rule, a function or a queue away is seen.

By default one grant of each kind, with `TRUST_GRANTS=1` every one. Those of the Glue jobs: test_job_grants.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

import pytest

from tests.permissions import removal
from tests.permissions.conftest import Stacks
from tests.permissions.grants import JOBS, UNSEEN, Deployed, deployed_grants, unseen
from tests.workflow.pipeline import Pipeline

EFFECTS: Final[Mapping[str, removal.Effect]] = {
    "Pipeline/Pipeline": removal.an_email_names_it,
    "Pipeline/Recompute": removal.a_recomputation_fails,
    "Pipeline/FailuresNotifyFailure": removal.the_notifier_fails,
    "Pipeline/FailuresRule": removal.a_failure_is_a_dead_letter,
    "Pipeline/Batches": removal.the_pipe_fails,
    "Api/KpiApi": removal.the_api_answers_with_an_error,
    "Monitoring/PipelineHealthFunction": removal.nothing_is_measured,
    "lambda kpi-api": removal.the_api_answers_with_an_error,
    "lambda pipeline-health": removal.nothing_is_measured,
    "sqs uploads": removal.an_upload_is_a_dead_letter,
    "sqs uploads-dead-letters": removal.a_lost_upload_is_counted,
    "sqs notify-failure-dead-letters": removal.a_lost_failure_is_counted,
}
"""Whose grant it is to what is seen without it."""

BY_DEFAULT: Final = (
    ("Pipeline/Pipeline", "s3:GetObjectVersion"),
    ("Pipeline/Pipeline", "s3:ListBucket"),
    ("Pipeline/Pipeline", "sns:Publish"),
    ("Pipeline/Pipeline", "states:StartExecution"),
    ("Pipeline/Recompute", "glue:StartJobRun"),
    ("Pipeline/FailuresNotifyFailure", "sns:Publish"),
    ("Pipeline/FailuresRule trust", "sts:AssumeRole"),
    ("Pipeline/Batches", "sqs:ReceiveMessage"),
    ("Api/KpiApi", "dynamodb:BatchGetItem"),
    ("lambda pipeline-health", "lambda:InvokeFunction"),
    ("sqs uploads", "sqs:SendMessage"),
    ("sqs uploads-dead-letters", "sqs:SendMessage"),
)


def workflow_grants() -> list[Deployed]:
    return [
        grant
        for grant in deployed_grants()
        if not unseen(grant.name) and grant.name.whose.removesuffix(" trust") not in JOBS
    ]


def test_every_reason_is_about_grants_that_are_deployed(stacks: Stacks) -> None:
    deployed = {(grant.name.whose, grant.name.action) for grant in deployed_grants()}
    listed = {
        (whose, action) for grants in UNSEEN.values() for whose in grants["whose"] for action in grants["actions"]
    }
    assert listed - deployed == set()


def test_it_is_known_of_every_other_grant_what_is_seen_without_it(stacks: Stacks) -> None:
    assert {grant.name.whose.removesuffix(" trust") for grant in workflow_grants()} == EFFECTS.keys()


def test_a_grant_that_is_taken_out_is_seen(stacks: Stacks, pipeline: Pipeline, subtests: pytest.Subtests) -> None:
    well = dict(pipeline.glue.outcomes)
    grants = workflow_grants()
    if not os.environ.get("TRUST_GRANTS"):
        grants = [grant for grant in grants if (grant.name.whose, grant.name.action) in BY_DEFAULT]
        assert len(grants) == len(BY_DEFAULT)
    for grant in grants:
        with subtests.test(str(grant.name)):
            pipeline.glue.outcomes = dict(well)
            EFFECTS[grant.name.whose.removesuffix(" trust")](stacks, pipeline, grant)


def test_with_all_grants_a_batch_ends_well(pipeline: Pipeline) -> None:
    files = [removal.upload_with_tags(pipeline, name) for name in ("good.csv", "bad.csv")]
    ended = pipeline.run(files)
    assert ended["status"] == "SUCCEEDED"
    assert pipeline.moved().keys() >= {files[0].archive_key, files[1].error_key}
