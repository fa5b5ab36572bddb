"""What every role may do: the whole table, and that it is enough."""

from __future__ import annotations

import json

from glue_scripts import names
from stacks.constructs.state_machine import DEFINITIONS
from tests.infrastructure.templates import Deployment, allowed, as_list, roles, statements, tasks, text

READ = {"s3:GetObject"}
READ_VERSION = {"s3:GetObjectVersion"}
PUT = {"s3:PutObject"}
WRITE = PUT | {"s3:AbortMultipartUpload"}

WILDCARDS_BESIDE_PREFIXES = {
    # CloudWatch and log delivery take no resource; Glue and Step Functions name streams and executions themselves.
    "validate-batch": {"*", "arn:<AWS::Partition>:logs:<AWS::Region>:<AWS::AccountId>:log-group:/aws-glue/*"},
    "compute-kpis": {"*", "arn:<AWS::Partition>:logs:<AWS::Region>:<AWS::AccountId>:log-group:/aws-glue/*"},
    "pipeline": {"*"},
    "recompute": {"*"},
    "notify-failure": {
        "*",
        "arn:<AWS::Partition>:states:<AWS::Region>:<AWS::AccountId>:execution:music-kpi-dev-pipeline:*",
    },
}


def _role(deployment: Deployment, name: str) -> str:
    full_name = f"music-kpi-{deployment.environment}-{name}"
    return (
        f"What the job {full_name} may do" if name in ("validate-batch", "compute-kpis") else f"What {full_name} may do"
    )


def _by_prefix(deployment: Deployment, name: str) -> dict[str, set[str]]:
    """What a role may do with the objects of the data bucket: prefix -> actions."""
    bucket = f"arn:<AWS::Partition>:s3:::music-kpi-{deployment.environment}-data-<AWS::AccountId>-<AWS::Region>/"
    actions = allowed(deployment.pipeline, _role(deployment, name))
    return {key.removeprefix(bucket): value for key, value in actions.items() if key.startswith(bucket)}


def _of_service(deployment: Deployment, name: str, resource: str, service: str) -> set[str]:
    """What a role may do with a resource of the storage stack, in short: the actions of one service."""
    return {
        action.removeprefix(f"{service}:")
        for key, actions in allowed(deployment.pipeline, _role(deployment, name)).items()
        for action in actions
        if resource in key and action.startswith(f"{service}:")
    }


def test_the_validation_job_reads_and_writes_its_prefixes_only(deployment: Deployment) -> None:
    assert _by_prefix(deployment, "validate-batch") == {
        "raw/*": READ_VERSION,
        "processing/*": READ | WRITE,
        "curated/*": PUT,
        "reference/*": READ | PUT,
        "quality/*": PUT,
        "error/*": WRITE,
    }


def test_the_kpi_job_reads_its_prefixes_and_writes_merged_runs_only(deployment: Deployment) -> None:
    assert _by_prefix(deployment, "compute-kpis") == {
        "processing/*": READ,
        "curated/*": READ | PUT,
        "reference/*": READ,
    }


def test_the_state_machine_moves_files_and_deletes_exact_versions_of_raw_only(deployment: Deployment) -> None:
    assert _by_prefix(deployment, "pipeline") == {
        "raw/*": READ_VERSION | {"s3:DeleteObjectVersion"},
        "processing/*": READ | PUT,
        "quality/*": READ,
        "error/*": PUT,
        "archive/*": PUT,
    }


def test_a_recomputation_writes_its_days_and_nothing_else(deployment: Deployment) -> None:
    assert _by_prefix(deployment, "recompute") == {"processing/recompute/*": {"s3:PutObject"}}


def test_the_notifier_reads_verdicts_and_nothing_else(deployment: Deployment) -> None:
    assert _by_prefix(deployment, "notify-failure") == {"processing/*/rejection_email.json": {"s3:GetObject"}}


def test_listings_are_limited_to_prefixes(deployment: Deployment) -> None:
    listed = {}
    for name in ("validate-batch", "compute-kpis", "pipeline", "notify-failure"):
        for statement in statements(deployment.pipeline, _role(deployment, name)):
            if {"s3:ListBucket", "s3:ListBucketVersions"} & set(as_list(statement["Action"])):
                (condition,) = statement["Condition"].values()
                listed[name] = set(condition["s3:prefix"])
    assert listed == {
        "pipeline": {"raw/*"},
        "notify-failure": {"processing/*/rejection_email.json"},
    }


def test_the_rights_on_the_tables_are_the_single_actions(deployment: Deployment) -> None:
    books = {"GetItem", "Query", "UpdateItem"}
    assert _of_service(deployment, "validate-batch", "Ledger", "dynamodb") == books
    assert _of_service(deployment, "validate-batch", "Kpis", "dynamodb") == set()
    assert _of_service(deployment, "compute-kpis", "Ledger", "dynamodb") == books
    rows = {"GetItem", "Query", "PutItem", "BatchWriteItem"}
    assert _of_service(deployment, "compute-kpis", "Kpis", "dynamodb") == rows
    assert _of_service(deployment, "pipeline", "Ledger", "dynamodb") == {"UpdateItem"}


def test_a_job_reads_its_own_code_only(deployment: Deployment) -> None:
    # The script, our packages, and the job's wheels.
    for name, objects in {"validate-batch": 3, "compute-kpis": 3}.items():
        actions = allowed(deployment.pipeline, _role(deployment, name))
        code = {resource: value for resource, value in actions.items() if "-assets-" in resource}
        assert len(code) == objects
        assert all(value == {"s3:GetObject"} and "*" not in resource for resource, value in code.items())


def test_metrics_go_to_the_namespaces_of_glue_and_of_our_own_only(deployment: Deployment) -> None:
    for name in ("validate-batch", "compute-kpis"):
        (statement,) = [
            one
            for one in statements(deployment.pipeline, _role(deployment, name))
            if one["Action"] == "cloudwatch:PutMetricData"
        ]
        assert statement["Condition"] == {"StringEquals": {"cloudwatch:namespace": ["Glue", "MusicKpi"]}}


def test_the_function_that_measures_lists_by_status_and_puts_our_own_metrics_only(deployment: Deployment) -> None:
    role = f"What the function music-kpi-{deployment.environment}-pipeline-health may do"
    beside_logs_and_traces = {
        text(resource): (statement["Action"], statement.get("Condition"))
        for statement in statements(deployment.monitoring, role)
        for resource in as_list(statement["Resource"])
        if not str(as_list(statement["Action"])[0]).startswith(("logs:", "xray:"))
    }
    bucket, table, index = sorted(beside_logs_and_traces.keys() - {"*"}, key=lambda arn: ("DataBucket" not in arn, arn))
    assert "DataBucket" in bucket
    assert "LedgerTable" in table
    assert index == f"{table}/index/{names.STATUS_INDEX}"
    assert beside_logs_and_traces == {
        bucket: ("s3:ListBucketVersions", {"StringLike": {"s3:prefix": ["raw/*"]}}),
        table: (["dynamodb:GetItem", "dynamodb:Query"], None),
        index: ("dynamodb:Query", None),
        "*": ("cloudwatch:PutMetricData", {"StringEquals": {"cloudwatch:namespace": names.METRIC_NAMESPACE}}),
    }


NEEDED_BY_TASK = {
    # ListBucket: or it could not tell a version that is gone from one that the role may not read.
    "arn:aws:states:::aws-sdk:s3:headObject": {"s3:GetObjectVersion", "s3:ListBucket"},
    "arn:aws:states:::aws-sdk:s3:copyObject": {"s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"},
    "arn:aws:states:::aws-sdk:s3:putObject": {"s3:PutObject"},
    "arn:aws:states:::aws-sdk:s3:getObject": {"s3:GetObject"},
    "arn:aws:states:::aws-sdk:s3:deleteObject": {"s3:DeleteObjectVersion"},
    "arn:aws:states:::glue:startJobRun.sync": {
        "glue:StartJobRun",
        "glue:GetJobRun",
        "glue:GetJobRuns",
        "glue:BatchStopJobRun",
    },
    "arn:aws:states:::dynamodb:updateItem": {"dynamodb:UpdateItem"},
    "arn:aws:states:::sns:publish": {"sns:Publish"},
    "arn:aws:states:::states:startExecution": {"states:StartExecution"},
    "arn:aws:states:::aws-sdk:sfn:getExecutionHistory": {"states:GetExecutionHistory"},
    "arn:aws:states:::aws-sdk:sfn:listExecutions": {"states:ListExecutions"},
    "arn:aws:states:::aws-sdk:s3:listObjectsV2": {"s3:ListBucket"},
}

BESIDE_TASKS = {
    # Log delivery and X-Ray, which every Standard machine with logs and tracing needs.
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
}
STATE_MACHINES = {
    "pipeline": "pipeline.asl.json",
    "notify-failure": "notify_failure.asl.json",
    "recompute": "recompute.asl.json",
}


def _needed(file: str) -> set[str]:
    definition = json.loads((DEFINITIONS / file).read_text(encoding="utf-8"))
    return {action for _, state in tasks(definition) for action in NEEDED_BY_TASK[state["Resource"]]}


def test_a_state_machine_may_do_what_its_tasks_do_and_nothing_else(deployment: Deployment) -> None:
    for name, file in STATE_MACHINES.items():
        granted = set().union(*allowed(deployment.pipeline, _role(deployment, name)).values())
        assert granted - BESIDE_TASKS == _needed(file), name


def test_the_pipeline_starts_its_own_state_machine_and_no_other(deployment: Deployment) -> None:
    granted = allowed(deployment.pipeline, _role(deployment, "pipeline"))
    name = f"music-kpi-{deployment.environment}-pipeline"
    own = f"arn:<AWS::Partition>:states:<AWS::Region>:<AWS::AccountId>:stateMachine:{name}"
    assert [resource for resource, actions in granted.items() if "states:StartExecution" in actions] == [own]


def test_every_listed_integration_is_one_that_a_state_machine_uses() -> None:
    used = set()
    for file in STATE_MACHINES.values():
        used |= {state["Resource"] for _, state in tasks(json.loads((DEFINITIONS / file).read_text(encoding="utf-8")))}
    assert used == NEEDED_BY_TASK.keys()


def test_wildcards_are_prefixes_of_the_bucket_or_listed_here(dev: Deployment) -> None:
    for description in roles(dev.pipeline):
        name = next((one for one in WILDCARDS_BESIDE_PREFIXES if _role(dev, one) == description), None)
        listed = set() if name is None else WILDCARDS_BESIDE_PREFIXES[name]
        prefixes = () if name is None else tuple(_by_prefix(dev, name))
        wild = {resource for resource in allowed(dev.pipeline, description) if "*" in resource}
        assert {resource for resource in wild if not resource.endswith(prefixes or ("nothing",))} == listed


def test_services_may_assume_a_role_for_our_own_resources_only(deployment: Deployment) -> None:
    account = {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    trusted = set()
    for role in roles(deployment.pipeline).values():
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        service = statement["Principal"]["Service"]
        trusted.add(service)
        if service == "glue.amazonaws.com":
            assert statement["Condition"] == {"StringEqualsIfExists": account}
        else:
            assert statement["Condition"]["StringEquals"] == account
            source = text(statement["Condition"]["ArnEquals"]["aws:SourceArn"])
            assert source.startswith("arn:<AWS::Partition>:")
            assert f"music-kpi-{deployment.environment}-" in source
    assert trusted == {"glue.amazonaws.com", "states.amazonaws.com", "pipes.amazonaws.com", "events.amazonaws.com"}
