"""Bucket, tables and topic."""

from __future__ import annotations

from aws_cdk.assertions import Match, Template

from glue_scripts import names
from tests.infrastructure.templates import Deployment, properties, resources, text

TLS_ONLY = {"Effect": "Deny", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}


def test_the_bucket_is_private_versioned_and_encrypted(deployment: Deployment) -> None:
    bucket = properties(deployment.storage, "AWS::S3::Bucket")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


def test_the_bucket_is_named_by_environment_account_and_region(deployment: Deployment) -> None:
    bucket = properties(deployment.storage, "AWS::S3::Bucket")
    name = f"music-kpi-{deployment.environment}-data-<AWS::AccountId>-<AWS::Region>"
    assert text(bucket["BucketName"]) == name


def test_the_bucket_tells_eventbridge_without_a_custom_resource(deployment: Deployment) -> None:
    bucket = properties(deployment.storage, "AWS::S3::Bucket")
    assert bucket["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    for template in (deployment.storage, deployment.pipeline):
        assert not resources(template, "AWS::Lambda::Function")


def test_bucket_and_topic_refuse_what_comes_without_tls(deployment: Deployment) -> None:
    template = Template.from_json(dict(deployment.storage))
    for policy in ("AWS::S3::BucketPolicy", "AWS::SNS::TopicPolicy"):
        template.has_resource_properties(
            policy, {"PolicyDocument": {"Statement": Match.array_with([Match.object_like(TLS_ONLY)])}}
        )


def test_working_copies_expire_after_the_days_in_which_a_redrive_is_possible(deployment: Deployment) -> None:
    rules = properties(deployment.storage, "AWS::S3::Bucket")["LifecycleConfiguration"]["Rules"]
    days = {rule["Prefix"]: rule["ExpirationInDays"] for rule in rules if "ExpirationInDays" in rule}
    settings = deployment.settings
    assert days == {
        names.PROCESSING_PREFIX: settings.processing_days,
        names.ARCHIVE_PREFIX: settings.archive_days,
        names.ERROR_PREFIX: settings.error_days,
        names.QUALITY_PREFIX: settings.quality_days,
    }
    assert days[names.PROCESSING_PREFIX] > 14


def test_neither_a_file_that_waits_nor_the_lake_nor_a_snapshot_expires(deployment: Deployment) -> None:
    rules = properties(deployment.storage, "AWS::S3::Bucket")["LifecycleConfiguration"]["Rules"]
    expiring = {rule["Prefix"] for rule in rules if "ExpirationInDays" in rule}
    assert not {names.RAW_PREFIX, names.CURATED_PREFIX, names.REFERENCE_PREFIX} & expiring


def test_old_versions_are_cleaned_but_never_those_of_a_file_that_waits(deployment: Deployment) -> None:
    rules = properties(deployment.storage, "AWS::S3::Bucket")["LifecycleConfiguration"]["Rules"]
    days = {rule.get("Prefix"): rule["NoncurrentVersionExpiration"]["NoncurrentDays"] for rule in rules[:-1]}
    assert names.RAW_PREFIX not in days
    assert min(days.values()) > 14


def test_delete_markers_and_broken_uploads_are_cleaned_everywhere(deployment: Deployment) -> None:
    rules = properties(deployment.storage, "AWS::S3::Bucket")["LifecycleConfiguration"]["Rules"]
    (everywhere,) = [rule for rule in rules if "Prefix" not in rule]
    assert everywhere["Status"] == "Enabled"
    assert "NoncurrentVersionExpiration" not in everywhere
    assert everywhere["ExpiredObjectDeleteMarker"] is True
    assert everywhere["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] == 7


def test_the_tables_are_on_demand_with_point_in_time_recovery(deployment: Deployment) -> None:
    tables = [table["Properties"] for table in resources(deployment.storage, "AWS::DynamoDB::Table")]
    assert {table["TableName"] for table in tables} == {
        f"music-kpi-{deployment.environment}-kpis",
        f"music-kpi-{deployment.environment}-ledger",
    }
    for table in tables:
        assert table["BillingMode"] == "PAY_PER_REQUEST"
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
        # DynamoDB encrypts always: without a key of ours, with one that AWS owns.
        assert table["SSESpecification"] == {"SSEEnabled": False}


def _keys(schema: list[dict[str, str]]) -> dict[str, str]:
    return {key["KeyType"]: key["AttributeName"] for key in schema}


def test_the_keys_of_tables_and_indexes_are_those_of_the_shared_names(dev: Deployment) -> None:
    kpis = properties(dev.storage, "AWS::DynamoDB::Table", TableName="music-kpi-dev-kpis")
    ledger = properties(dev.storage, "AWS::DynamoDB::Table", TableName="music-kpi-dev-ledger")
    assert _keys(kpis["KeySchema"]) == {"HASH": names.KPIS_PARTITION_KEY, "RANGE": names.KPIS_SORT_KEY}
    assert _keys(ledger["KeySchema"]) == {"HASH": names.LEDGER_PARTITION_KEY, "RANGE": names.LEDGER_SORT_KEY}
    (by_date,) = kpis["GlobalSecondaryIndexes"]
    assert by_date["IndexName"] == names.DATE_INDEX
    assert _keys(by_date["KeySchema"]) == {"HASH": names.DATE_INDEX_PARTITION_KEY, "RANGE": names.DATE_INDEX_SORT_KEY}
    (by_status,) = ledger["GlobalSecondaryIndexes"]
    assert by_status["IndexName"] == names.STATUS_INDEX
    assert _keys(by_status["KeySchema"]) == {
        "HASH": names.STATUS_INDEX_PARTITION_KEY,
        "RANGE": names.STATUS_INDEX_SORT_KEY,
    }


def test_data_outlives_the_stack_everywhere_but_in_dev(deployment: Deployment) -> None:
    policy = "Delete" if deployment.environment == "dev" else "Retain"
    for resource_type in ("AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::SNS::Topic"):
        for resource in resources(deployment.storage, resource_type):
            assert resource["DeletionPolicy"] == policy
            assert resource["UpdateReplacePolicy"] == policy
    for table in resources(deployment.storage, "AWS::DynamoDB::Table"):
        assert table["Properties"]["DeletionProtectionEnabled"] is (deployment.environment != "dev")


def test_alarms_and_rules_of_this_account_may_use_the_topic(deployment: Deployment) -> None:
    (policy,) = resources(deployment.storage, "AWS::SNS::TopicPolicy")
    (statement,) = [one for one in policy["Properties"]["PolicyDocument"]["Statement"] if one["Effect"] == "Allow"]
    assert statement["Principal"] == {"Service": ["cloudwatch.amazonaws.com", "events.amazonaws.com"]}
    assert statement["Action"] == "sns:Publish"
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_the_outputs_are_what_clients_look_for(deployment: Deployment) -> None:
    outputs = {name for name, output in deployment.storage["Outputs"].items() if "Export" not in output}
    assert outputs == {"DataBucketName", "KpisTableName", "LedgerTableName", "AlertTopicArn"}
