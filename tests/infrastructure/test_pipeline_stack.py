"""From an upload to an execution, and from a failed execution to the notifier."""

from __future__ import annotations

from glue_scripts import names
from tests.infrastructure.templates import Deployment, Properties, logical_id, properties, resources, text

FOURTEEN_DAYS = 14 * 24 * 60 * 60


def _queue(deployment: Deployment, name: str) -> Properties:
    queue_name = f"music-kpi-{deployment.environment}-{name}"
    return properties(deployment.pipeline, "AWS::SQS::Queue", QueueName=queue_name)


def _arn(deployment: Deployment, resource_type: str, **wanted: object) -> dict[str, list[str]]:
    return {"Fn::GetAtt": [logical_id(deployment.pipeline, resource_type, **wanted), "Arn"]}


def test_new_objects_under_raw_go_to_the_upload_queue(deployment: Deployment) -> None:
    rule = properties(
        deployment.pipeline, "AWS::Events::Rule", Name=f"music-kpi-{deployment.environment}-object-created"
    )
    pattern = rule["EventPattern"]
    assert pattern["source"] == ["aws.s3"]
    assert pattern["detail-type"] == ["Object Created"]
    assert pattern["detail"]["object"] == {"key": [{"prefix": names.RAW_PREFIX}]}
    (bucket,) = pattern["detail"]["bucket"]["name"]
    assert "DataBucket" in text(bucket)
    (target,) = rule["Targets"]
    queue_name = f"music-kpi-{deployment.environment}-uploads"
    assert target["Arn"] == _arn(deployment, "AWS::SQS::Queue", QueueName=queue_name)


def test_a_received_message_stays_hidden_for_six_windows_at_least(deployment: Deployment) -> None:
    pipe = properties(deployment.pipeline, "AWS::Pipes::Pipe")
    window = pipe["SourceParameters"]["SqsQueueParameters"]["MaximumBatchingWindowInSeconds"]
    assert _queue(deployment, "uploads")["VisibilityTimeout"] >= max(30, 6 * window)


def test_a_message_is_tried_five_times_and_kept_for_fourteen_days(deployment: Deployment) -> None:
    uploads = _queue(deployment, "uploads")
    dead_letters = f"music-kpi-{deployment.environment}-uploads-dead-letters"
    assert uploads["MessageRetentionPeriod"] == FOURTEEN_DAYS
    assert uploads["RedrivePolicy"] == {
        "deadLetterTargetArn": _arn(deployment, "AWS::SQS::Queue", QueueName=dead_letters),
        "maxReceiveCount": 5,
    }


def test_no_queue_is_open_unencrypted_or_short_lived(deployment: Deployment) -> None:
    queues = resources(deployment.pipeline, "AWS::SQS::Queue")
    assert len(queues) == 3
    for queue in queues:
        assert queue["Properties"]["SqsManagedSseEnabled"] is True
        assert queue["Properties"]["MessageRetentionPeriod"] == FOURTEEN_DAYS
    policies = resources(deployment.pipeline, "AWS::SQS::QueuePolicy")
    assert len(policies) == len(queues)
    for policy in policies:
        deny, *others = policy["Properties"]["PolicyDocument"]["Statement"]
        assert (deny["Effect"], deny["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
        assert all("aws:SourceArn" in other["Condition"]["ArnEquals"] for other in others)


def test_every_rule_that_delivers_has_a_dead_letter_queue(deployment: Deployment) -> None:
    rules = [rule["Properties"] for rule in resources(deployment.pipeline, "AWS::Events::Rule")]
    delivering = [rule for rule in rules if "Targets" in rule]
    assert len(delivering) == 2
    for rule in delivering:
        for target in rule["Targets"]:
            assert "DeadLetters" in text(target["DeadLetterConfig"]["Arn"])


def test_rules_without_targets_count_the_runs_of_jobs_that_failed(deployment: Deployment) -> None:
    rules = [rule["Properties"] for rule in resources(deployment.pipeline, "AWS::Events::Rule")]
    counting = [rule["EventPattern"] for rule in rules if "Targets" not in rule]
    assert sorted(state for pattern in counting for state in pattern["detail"]["state"]) == [
        "FAILED",
        "FAILED",
        "TIMEOUT",
        "TIMEOUT",
    ]
    assert {source for pattern in counting for source in pattern["source"]} == {"aws.glue"}


def test_the_pipe_starts_one_execution_per_batch_with_the_events_details(deployment: Deployment) -> None:
    environment, settings = deployment.environment, deployment.settings
    pipe = properties(deployment.pipeline, "AWS::Pipes::Pipe")
    assert pipe["Source"] == _arn(deployment, "AWS::SQS::Queue", QueueName=f"music-kpi-{environment}-uploads")
    assert pipe["SourceParameters"]["SqsQueueParameters"] == {
        "BatchSize": settings.batch_size,
        "MaximumBatchingWindowInSeconds": settings.batch_window_seconds,
    }
    machine = logical_id(
        deployment.pipeline, "AWS::StepFunctions::StateMachine", StateMachineName=f"music-kpi-{environment}-pipeline"
    )
    assert pipe["Target"] == {"Ref": machine}
    assert pipe["TargetParameters"] == {
        "InputTemplate": "<$.body.detail>",
        "StepFunctionStateMachineParameters": {"InvocationType": "FIRE_AND_FORGET"},
    }
    assert pipe["LogConfiguration"]["Level"] == "ERROR"


def test_the_windows_are_those_of_the_design(deployment: Deployment) -> None:
    windows = {"dev": 5, "staging": 60, "prod": 300}
    assert deployment.settings.batch_window_seconds == windows[deployment.environment]
    assert deployment.settings.batch_size <= 100


def test_an_execution_that_failed_timed_out_or_was_aborted_starts_the_notifier(deployment: Deployment) -> None:
    environment = deployment.environment
    rule = properties(deployment.pipeline, "AWS::Events::Rule", Name=f"music-kpi-{environment}-execution-failed")
    pipeline = logical_id(
        deployment.pipeline, "AWS::StepFunctions::StateMachine", StateMachineName=f"music-kpi-{environment}-pipeline"
    )
    notifier = logical_id(
        deployment.pipeline,
        "AWS::StepFunctions::StateMachine",
        StateMachineName=f"music-kpi-{environment}-notify-failure",
    )
    assert rule["EventPattern"] == {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {"status": ["FAILED", "TIMED_OUT", "ABORTED"], "stateMachineArn": [{"Ref": pipeline}]},
    }
    (target,) = rule["Targets"]
    assert target["Arn"] == {"Ref": notifier}


def test_state_machines_are_logged_under_vendedlogs_and_traced(deployment: Deployment) -> None:
    machines = resources(deployment.pipeline, "AWS::StepFunctions::StateMachine")
    assert len(machines) == 3
    for machine in machines:
        assert machine["Properties"]["TracingConfiguration"] == {"Enabled": True}
        logging = machine["Properties"]["LoggingConfiguration"]
        assert logging["Level"] == "ALL"
        (destination,) = logging["Destinations"]
        group, _ = destination["CloudWatchLogsLogGroup"]["LogGroupArn"]["Fn::GetAtt"]
        name = deployment.pipeline["Resources"][group]["Properties"]["LogGroupName"]
        assert name == f"/aws/vendedlogs/states/{machine['Properties']['StateMachineName']}"


def test_logs_expire(deployment: Deployment) -> None:
    groups = resources(deployment.pipeline, "AWS::Logs::LogGroup")
    assert groups
    for group in groups:
        assert group["Properties"]["RetentionInDays"] == deployment.settings.log_retention_days


def test_nothing_that_keeps_data_is_in_the_pipeline_stack(deployment: Deployment) -> None:
    for resource_type in ("AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::SNS::Topic"):
        assert not resources(deployment.pipeline, resource_type)


def test_the_outputs_are_what_clients_look_for(deployment: Deployment) -> None:
    outputs = {name for name, output in deployment.pipeline["Outputs"].items() if "Export" not in output}
    assert outputs == {
        "StateMachineArn",
        "RecomputeStateMachineArn",
        "NotifierStateMachineArn",
        "UploadQueueUrl",
        "DeadLetterQueueUrl",
        "NotifierDeadLetterQueueUrl",
        "ValidateBatchJobName",
        "ComputeKpisJobName",
    }
