"""Resolving templates, and creating their resources on moto's server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.moto_api._internal.models import moto_api_backend

from local_aws.assembly import read_assembly
from local_aws.cloudformation import Deployment, deploy
from local_aws.iam.principals import ANYBODY
from local_aws.intrinsics import (
    DeploymentError,
    Scope,
    UnknownIntrinsicError,
    UnresolvedReferenceError,
    references,
    resolve,
)
from local_aws.moto_server import MotoServer
from local_aws.resources import NOT_EMULATED, UnknownResourceTypeError
from local_aws.resources.base import Target, UnknownPropertyError
from tests.local.assemblies import template, write_assembly

ACCOUNT = "123456789012"
REGION = "us-east-1"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "glue.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
ROLE: tuple[str, dict[str, Any]] = ("AWS::IAM::Role", {"AssumeRolePolicyDocument": TRUST})
ROLE_ARN = {"Fn::GetAtt": ["Role", "Arn"]}
MACHINE_WITHOUT_PLACEHOLDERS = {"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MotoServer]:
    server = MotoServer(0, tmp_path_factory.mktemp("server") / "requests.log")
    yield server
    server.close()


@pytest.fixture
def target(server: MotoServer) -> Target:
    moto_api_backend.reset()
    return Target(server.endpoint_url, ACCOUNT, REGION, ANYBODY)


def scope(**sections: Any) -> Scope:  # noqa: ANN401 # each section of a template has its own shape
    return Scope("Stack", {"AWS::Region": REGION, "AWS::AccountId": ACCOUNT}, **sections)


def deploy_template(target: Target, folder: Path, resources: Mapping[str, Any], **sections: object) -> Deployment:
    return deploy(read_assembly(write_assembly(folder, {"Stack": template(resources, **sections)})), target)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ({"Ref": "AWS::Region"}, REGION),
        ({"Ref": "Queue"}, "http://queue"),
        ({"Fn::GetAtt": ["Queue", "Arn"]}, "arn:queue"),
        ({"Fn::GetAtt": "Queue.Arn"}, "arn:queue"),
        ({"Fn::Join": ["-", ["a", {"Ref": "AWS::Region"}, 3]]}, "a-us-east-1-3"),
        ({"Fn::Sub": "${AWS::AccountId}/${Queue.Arn}/${!Kept}"}, "123456789012/arn:queue/${Kept}"),
        ({"Fn::Sub": ["${Own}-${Queue}", {"Own": {"Ref": "AWS::Region"}}]}, "us-east-1-http://queue"),
        ({"Fn::Select": ["1", {"Fn::Split": [":", "a:b:c"]}]}, "b"),
        ({"Fn::If": ["IsProd", "big", "small"]}, "big"),
        ({"Fn::If": ["IsDev", "big", "small"]}, "small"),
        ({"Fn::If": ["IsEither", "yes", "no"]}, "yes"),
        ({"Fn::If": ["IsBoth", "yes", "no"]}, "no"),
        ({"Fn::FindInMap": ["Sizes", "prod", "workers"]}, 10),
        ({"Fn::ImportValue": {"Fn::Sub": "Data:${AWS::Region}"}}, "imported"),
        ({"Fn::Base64": "hello"}, "aGVsbG8="),
        ({"Fn::ToJsonString": {"a": [{"Ref": "AWS::Region"}]}}, '{"a":["us-east-1"]}'),
        ({"Fn::Length": ["a", "b"]}, 2),
        ({"keep": 1, "drop": {"Ref": "AWS::NoValue"}}, {"keep": 1}),
        ([1, {"Ref": "AWS::NoValue"}, {"Fn::If": ["IsDev", 2, {"Ref": "AWS::NoValue"}]}], [1]),
        ({"Ref": "AWS::NoValue"}, None),
        ({"Ref": "no intrinsic", "beside": "another key"}, {"Ref": "no intrinsic", "beside": "another key"}),
    ],
)
def test_an_expression_has_its_value(expression: object, value: object) -> None:
    of_a_stack = scope(
        parameters={"Environment": "prod"},
        mappings={"Sizes": {"prod": {"workers": 10}}},
        conditions={
            "IsProd": {"Fn::Equals": [{"Ref": "Environment"}, "prod"]},
            "IsDev": {"Fn::Not": [{"Condition": "IsProd"}]},
            "IsEither": {"Fn::Or": [{"Condition": "IsDev"}, {"Condition": "IsProd"}]},
            "IsBoth": {"Fn::And": [{"Condition": "IsDev"}, {"Condition": "IsProd"}]},
        },
        exports={"Data:us-east-1": "imported"},
        refs={"Queue": "http://queue"},
        attributes={"Queue": {"Arn": "arn:queue"}},
    )

    assert resolve(expression, of_a_stack) == value


@pytest.mark.parametrize(
    ("expression", "error", "message"),
    [
        ({"Fn::Cidr": ["10.0.0.0/16", 2, 8]}, UnknownIntrinsicError, "Fn::Cidr"),
        ({"a": [{"Fn::Transform": {}}]}, UnknownIntrinsicError, "Fn::Transform"),
        ("{{resolve:secretsmanager:password}}", UnknownIntrinsicError, "resolve:secretsmanager:password"),
        ({"Ref": "Nothing"}, UnresolvedReferenceError, "Ref to 'Nothing'"),
        ({"Fn::Sub": "${Nothing}"}, UnresolvedReferenceError, "'Nothing'"),
        ({"Fn::GetAtt": ["Queue", "Odd"]}, UnresolvedReferenceError, r"Queue\.Odd: local_aws knows of it only Arn"),
        ({"Fn::ImportValue": "Nothing"}, UnresolvedReferenceError, "Fn::ImportValue 'Nothing'"),
        ({"Fn::Select": [5, ["a"]]}, UnresolvedReferenceError, "element 5 of a list of 1"),
        ({"Fn::FindInMap": ["Sizes", "prod", "workers"]}, UnresolvedReferenceError, r"Sizes\.prod\.workers"),
        ({"Fn::If": ["Nothing", 1, 2]}, UnresolvedReferenceError, "no condition 'Nothing'"),
        ({"Fn::Join": "text"}, UnresolvedReferenceError, "Fn::Join needs a list of 2"),
    ],
)
def test_an_expression_that_cannot_be_evaluated_is_an_error_that_names_it(
    expression: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        resolve(expression, scope(attributes={"Queue": {"Arn": "arn:queue"}}))


def test_only_the_taken_branch_of_a_condition_is_a_reference() -> None:
    expression = {
        "a": {"Fn::If": ["Never", {"Ref": "NotTaken"}, {"Fn::GetAtt": ["Taken", "Arn"]}]},
        "b": [{"Fn::Sub": ["${Own} ${Queue.Arn} ${!Kept}", {"Own": {"Ref": "Inner"}}]}],
    }

    found = set(references(expression, scope(conditions={"Never": {"Fn::Equals": ["a", "b"]}})))

    assert found == {"Taken", "Inner", "Queue"}


def test_a_stack_imports_what_another_exports(target: Target, tmp_path: Path) -> None:
    data = template(
        {"Bucket": ("AWS::S3::Bucket", {"BucketName": "data"})},
        Outputs={"Arn": {"Value": {"Fn::GetAtt": ["Bucket", "Arn"]}, "Export": {"Name": "Data:Arn"}}},
    )
    jobs = template({}, Outputs={"Seen": {"Value": {"Fn::ImportValue": "Data:Arn"}}})
    write_assembly(tmp_path, {"Jobs": jobs, "Data": data}, dependencies={"Jobs": ["Data"]})

    deployment = deploy(read_assembly(tmp_path), target)

    assert deployment.outputs == {"Data": {"Arn": "arn:aws:s3:::data"}, "Jobs": {"Seen": "arn:aws:s3:::data"}}


def test_resources_come_after_those_they_refer_to_or_depend_on(target: Target, tmp_path: Path) -> None:
    deployment = deploy_template(
        target,
        tmp_path,
        {
            "A": {"Type": "AWS::SQS::Queue", "DependsOn": "B"},
            "B": {"Type": "AWS::SQS::Queue", "DependsOn": ["C"]},
            "C": (
                "AWS::SQS::Queue",
                {"RedrivePolicy": {"deadLetterTargetArn": {"Fn::GetAtt": ["D", "Arn"]}, "maxReceiveCount": 5}},
            ),
            "D": ("AWS::SQS::Queue", {}),
        },
    )

    assert [resource.logical_id for resource in deployment.resources] == ["D", "C", "B", "A"]


def test_resources_that_need_each_other_are_an_error_that_names_them(target: Target, tmp_path: Path) -> None:
    queues = {
        "A": ("AWS::SQS::Queue", {"QueueName": {"Ref": "B"}}),
        "B": ("AWS::SQS::Queue", {"QueueName": {"Ref": "A"}}),
    }

    with pytest.raises(UnresolvedReferenceError, match=r"depend on each other: (A -> B -> A|B -> A -> B)"):
        deploy_template(target, tmp_path, queues)


def test_an_unknown_resource_type_is_an_error_that_names_it(target: Target, tmp_path: Path) -> None:
    with pytest.raises(UnknownResourceTypeError, match=r"Stack/Cluster \(AWS::EKS::Cluster\)"):
        deploy_template(target, tmp_path, {"Cluster": ("AWS::EKS::Cluster", {})})


def test_an_unknown_property_is_an_error_that_names_it(target: Target, tmp_path: Path) -> None:
    with pytest.raises(UnknownPropertyError, match=r"Stack/Queue \(AWS::SQS::Queue\).*: Colour"):
        deploy_template(target, tmp_path, {"Queue": ("AWS::SQS::Queue", {"Colour": "red"})})


def test_an_unknown_section_of_a_template_is_an_error_that_names_it(target: Target, tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match="Transform"):
        deploy_template(target, tmp_path, {}, Transform="AWS::Serverless-2016-10-31")


def test_what_the_service_refuses_is_an_error_that_names_the_resource(target: Target, tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match=r"Stack/Queue \(AWS::SQS::Queue\) could not be created"):
        deploy_template(target, tmp_path, {"Queue": ("AWS::SQS::Queue", {"QueueName": "not a name!"})})


def test_a_stack_for_another_account_is_refused_before_anything_is_made(target: Target, tmp_path: Path) -> None:
    write_assembly(
        tmp_path,
        {"Stack": template({"Queue": ("AWS::SQS::Queue", {})})},
        environment="aws://111122223333/eu-west-1",
    )

    with pytest.raises(DeploymentError, match="synthesized for aws://111122223333/eu-west-1"):
        deploy(read_assembly(tmp_path), target)
    assert "QueueUrls" not in target.client("sqs").list_queues()


def test_what_needs_no_emulation_is_passed_over(target: Target, tmp_path: Path) -> None:
    resources: dict[str, Any] = {f"R{number}": (kind, {"Whatever": 1}) for number, kind in enumerate(NOT_EMULATED)}

    deployment = deploy_template(target, tmp_path, resources)

    assert deployment.resources == ()


def test_a_resource_and_an_output_exist_only_where_their_condition_holds(target: Target, tmp_path: Path) -> None:
    deployment = deploy_template(
        target,
        tmp_path,
        {
            "Always": ("AWS::SQS::Queue", {}),
            "Never": {"Type": "AWS::SQS::Queue", "Condition": "IsProd", "Properties": {}},
        },
        Parameters={"Environment": {"Type": "String", "Default": "dev"}},
        Conditions={"IsProd": {"Fn::Equals": [{"Ref": "Environment"}, "prod"]}},
        Outputs={"Url": {"Condition": "IsProd", "Value": {"Ref": "Never"}}},
    )

    assert [resource.logical_id for resource in deployment.resources] == ["Always"]
    assert deployment.outputs == {"Stack": {}}


def test_parameters_take_their_defaults_and_the_bootstrap_version_is_there(target: Target, tmp_path: Path) -> None:
    target.client("ssm").put_parameter(Name="/team/name", Type="String", Value="data")
    deployment = deploy_template(
        target,
        tmp_path,
        {},
        Parameters={
            "BootstrapVersion": {
                "Type": "AWS::SSM::Parameter::Value<String>",
                "Default": "/cdk-bootstrap/hnb659fds/version",
            },
            "Team": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/team/name"},
            "Zones": {"Type": "CommaDelimitedList", "Default": "a, b"},
            "Workers": {"Type": "Number", "Default": "2"},
        },
        Rules={"CheckBootstrapVersion": {"Assertions": []}},
        Outputs={
            "Version": {"Value": {"Ref": "BootstrapVersion"}},
            "Team": {"Value": {"Ref": "Team"}},
            "Zones": {"Value": {"Fn::Join": ["+", {"Ref": "Zones"}]}},
            "Workers": {"Value": {"Ref": "Workers"}},
        },
    )

    outputs = dict(deployment.outputs["Stack"])
    assert int(outputs.pop("Version")) >= 6
    assert outputs == {"Team": "data", "Zones": "a+b", "Workers": "2"}


def test_a_parameter_without_a_value_is_an_error(target: Target, tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match="parameter Environment has no default"):
        deploy_template(target, tmp_path, {}, Parameters={"Environment": {"Type": "String"}})


def test_assets_are_in_the_bootstrap_bucket(target: Target, tmp_path: Path) -> None:
    write_assembly(
        tmp_path,
        {"Stack": template({})},
        files={"abc.py": {"path": "asset.abc.py", "packaging": "file"}, "def.zip": {"path": "d", "packaging": "zip"}},
    )
    (tmp_path / "asset.abc.py").write_bytes(b"print('hello')\n")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "module.py").write_bytes(b"")

    deploy(read_assembly(tmp_path), target)

    s3, bucket = target.client("s3"), f"cdk-hnb659fds-assets-{ACCOUNT}-{REGION}"
    assert s3.get_object(Bucket=bucket, Key="abc.py")["Body"].read() == b"print('hello')\n"
    assert s3.get_object(Bucket=bucket, Key="def.zip")["Body"].read().startswith(b"PK")


def test_a_bucket_is_versioned_encrypted_and_tells_event_bridge(target: Target, tmp_path: Path) -> None:
    encryption = [{"BucketKeyEnabled": True, "ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
    deployment = deploy_template(
        target,
        tmp_path,
        {
            "Bucket": (
                "AWS::S3::Bucket",
                {
                    "BucketName": "data",
                    "VersioningConfiguration": {"Status": "Enabled"},
                    "NotificationConfiguration": {"EventBridgeConfiguration": {"EventBridgeEnabled": True}},
                    "BucketEncryption": {"ServerSideEncryptionConfiguration": encryption},
                    "PublicAccessBlockConfiguration": {"BlockPublicAcls": True},
                    "LifecycleConfiguration": {
                        "Rules": [
                            {
                                "Id": "expire",
                                "Status": "Enabled",
                                "Prefix": "processing/",
                                "ExpirationInDays": 21,
                                "NoncurrentVersionExpiration": {"NoncurrentDays": 30},
                            },
                            {
                                "Id": "clean",
                                "Status": "Enabled",
                                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
                                "ExpiredObjectDeleteMarker": True,
                            },
                        ]
                    },
                    "Tags": [{"Key": "project", "Value": "test"}],
                },
            ),
        },
    )

    s3 = target.client("s3")
    assert s3.get_bucket_versioning(Bucket="data")["Status"] == "Enabled"
    rule = s3.get_bucket_encryption(Bucket="data")["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert s3.get_bucket_tagging(Bucket="data")["TagSet"] == [{"Key": "project", "Value": "test"}]
    expire, clean = s3.get_bucket_lifecycle_configuration(Bucket="data")["Rules"]
    assert (expire["ID"], expire["Filter"], expire["Expiration"]) == ("expire", {"Prefix": "processing/"}, {"Days": 21})
    assert expire["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    assert (clean["ID"], clean["AbortIncompleteMultipartUpload"]) == ("clean", {"DaysAfterInitiation": 7})
    assert deployment.of_type("AWS::S3::Bucket")[0].created.attributes["Arn"] == "arn:aws:s3:::data"


def test_a_bucket_policy_is_there_as_a_whole_and_moto_does_not_apply_it(target: Target, tmp_path: Path) -> None:
    denial = {
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": "s3:*",
        "Resource": "arn:aws:s3:::data/*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    grant = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::data/*"}
    document = {"Version": "2012-10-17", "Statement": [denial, grant]}
    deploy_template(
        target,
        tmp_path,
        {
            "Bucket": ("AWS::S3::Bucket", {"BucketName": "data"}),
            "Policy": ("AWS::S3::BucketPolicy", {"Bucket": {"Ref": "Bucket"}, "PolicyDocument": document}),
        },
    )

    s3 = target.client("s3")
    s3.put_object(Bucket="data", Key="a", Body=b"1")
    assert s3.get_object(Bucket="data", Key="a")["Body"].read() == b"1"
    assert json.loads(s3.get_bucket_policy(Bucket="data")["Policy"])["Statement"] == [denial, grant]


def test_a_bucket_that_notifies_anything_else_is_refused(target: Target, tmp_path: Path) -> None:
    bucket = {"NotificationConfiguration": {"QueueConfigurations": [{"Event": "s3:ObjectCreated:*", "Queue": "arn"}]}}

    with pytest.raises(UnknownPropertyError, match="only EventBridgeConfiguration is delivered"):
        deploy_template(target, tmp_path, {"Bucket": ("AWS::S3::Bucket", bucket)})


def test_a_resource_without_a_name_gets_the_same_one_at_every_deployment(target: Target, tmp_path: Path) -> None:
    resources: dict[str, Any] = {"Bucket": ("AWS::S3::Bucket", {}), "Queue": ("AWS::SQS::Queue", {})}
    first = [resource.created for resource in deploy_template(target, tmp_path, resources).resources]
    moto_api_backend.reset()

    second = [resource.created for resource in deploy_template(target, tmp_path, resources).resources]

    assert first == second
    assert first[0].ref == first[0].ref.lower()


KEYS: dict[str, Any] = {
    "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "status")],
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "by_status",
            "KeySchema": [{"AttributeName": "status", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
}
RECOVERY = {"PointInTimeRecoveryEnabled": True}


@pytest.mark.parametrize(
    ("kind", "properties"),
    [
        (
            "AWS::DynamoDB::Table",
            {
                "BillingMode": "PAY_PER_REQUEST",
                "PointInTimeRecoverySpecification": RECOVERY,
                "DeletionProtectionEnabled": True,
                "SSESpecification": {"SSEEnabled": True},
            },
        ),
        (
            "AWS::DynamoDB::GlobalTable",
            {
                "BillingMode": "PAY_PER_REQUEST",
                "SSESpecification": {"SSEEnabled": True},
                "Replicas": [
                    {
                        "Region": {"Ref": "AWS::Region"},
                        "PointInTimeRecoverySpecification": RECOVERY,
                        "DeletionProtectionEnabled": True,
                        "Tags": [{"Key": "project", "Value": "test"}],
                    }
                ],
            },
        ),
        ("AWS::DynamoDB::Table", {"PointInTimeRecoverySpecification": RECOVERY, "DeletionProtectionEnabled": True}),
    ],
)
def test_a_table_has_its_keys_its_indexes_and_its_recovery(
    target: Target, tmp_path: Path, kind: str, properties: dict[str, Any]
) -> None:
    provisioned = {} if "BillingMode" in properties else {"ReadCapacityUnits": 2, "WriteCapacityUnits": 1}
    whole = {"TableName": "ledger", **KEYS, **properties, "StreamSpecification": {"StreamViewType": "NEW_IMAGE"}}
    if provisioned:
        whole["ProvisionedThroughput"] = provisioned
    deployment = deploy_template(
        target,
        tmp_path,
        {"Table": (kind, whole)},
        Outputs={
            "Arn": {"Value": {"Fn::GetAtt": ["Table", "Arn"]}},
            "Stream": {"Value": {"Fn::GetAtt": ["Table", "StreamArn"]}},
        },
    )

    dynamodb = target.client("dynamodb")
    table = dynamodb.describe_table(TableName="ledger")["Table"]
    assert table["KeySchema"] == KEYS["KeySchema"]
    assert [index["IndexName"] for index in table["GlobalSecondaryIndexes"]] == ["by_status"]
    assert table["DeletionProtectionEnabled"] is True
    assert table["StreamSpecification"]["StreamViewType"] == "NEW_IMAGE"
    backups = dynamodb.describe_continuous_backups(TableName="ledger")["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    outputs = deployment.outputs["Stack"]
    assert outputs["Arn"] == f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/ledger"
    assert outputs["Stream"].startswith(outputs["Arn"] + "/stream/")


def test_a_table_expires_its_items(target: Target, tmp_path: Path) -> None:
    time_to_live = {"AttributeName": "expires", "Enabled": True}
    table = {
        "TableName": "cache",
        "AttributeDefinitions": KEYS["AttributeDefinitions"][:1],
        "KeySchema": KEYS["KeySchema"][:1],
        "BillingMode": "PAY_PER_REQUEST",
        "TimeToLiveSpecification": time_to_live,
    }

    deploy_template(target, tmp_path, {"Table": ("AWS::DynamoDB::Table", table)})

    description = target.client("dynamodb").describe_time_to_live(TableName="cache")["TimeToLiveDescription"]
    assert description["AttributeName"] == "expires"


def test_a_replica_in_another_region_is_refused(target: Target, tmp_path: Path) -> None:
    table = {**KEYS, "BillingMode": "PAY_PER_REQUEST", "Replicas": [{"Region": REGION}, {"Region": "eu-west-1"}]}

    with pytest.raises(UnknownPropertyError, match="only the region us-east-1"):
        deploy_template(target, tmp_path, {"Table": ("AWS::DynamoDB::GlobalTable", table)})


def test_queues_and_topics_have_their_attributes_policies_and_subscriptions(target: Target, tmp_path: Path) -> None:
    deployment = deploy_template(
        target,
        tmp_path,
        {
            "DeadLetters": ("AWS::SQS::Queue", {"QueueName": "dead", "MessageRetentionPeriod": 1209600}),
            "Queue": (
                "AWS::SQS::Queue",
                {
                    "QueueName": "uploads",
                    "VisibilityTimeout": 1800,
                    "SqsManagedSseEnabled": True,
                    "RedrivePolicy": {
                        "deadLetterTargetArn": {"Fn::GetAtt": ["DeadLetters", "Arn"]},
                        "maxReceiveCount": 5,
                    },
                },
            ),
            "QueuePolicy": ("AWS::SQS::QueuePolicy", {"Queues": [{"Ref": "Queue"}], "PolicyDocument": POLICY}),
            "Topic": ("AWS::SNS::Topic", {"TopicName": "alerts", "DisplayName": "Alerts"}),
            "TopicPolicy": ("AWS::SNS::TopicPolicy", {"Topics": [{"Ref": "Topic"}], "PolicyDocument": POLICY}),
            "Subscription": (
                "AWS::SNS::Subscription",
                {
                    "TopicArn": {"Ref": "Topic"},
                    "Protocol": "sqs",
                    "Endpoint": {"Fn::GetAtt": ["Queue", "Arn"]},
                    "RawMessageDelivery": True,
                    "FilterPolicy": {"kind": ["alert"]},
                },
            ),
        },
        Outputs={"Url": {"Value": {"Ref": "Queue"}}, "Topic": {"Value": {"Ref": "Topic"}}},
    )

    sqs, sns, outputs = target.client("sqs"), target.client("sns"), deployment.outputs["Stack"]
    attributes = sqs.get_queue_attributes(QueueUrl=outputs["Url"], AttributeNames=["All"])["Attributes"]
    assert (attributes["VisibilityTimeout"], json.loads(attributes["RedrivePolicy"])["maxReceiveCount"]) == ("1800", 5)
    assert json.loads(attributes["Policy"]) == POLICY
    topic = sns.get_topic_attributes(TopicArn=outputs["Topic"])["Attributes"]
    assert (topic["DisplayName"], json.loads(topic["Policy"])) == ("Alerts", POLICY)
    alert = {"kind": {"DataType": "String", "StringValue": "alert"}}
    sns.publish(TopicArn=outputs["Topic"], Message="not for the queue")
    sns.publish(TopicArn=outputs["Topic"], Message="hello", MessageAttributes=alert)
    (message,) = sqs.receive_message(QueueUrl=outputs["Url"], MaxNumberOfMessages=10)["Messages"]
    assert message["Body"] == "hello"


def test_a_rule_delivers_an_upload_to_a_queue(target: Target, tmp_path: Path) -> None:
    deployment = deploy_template(
        target,
        tmp_path,
        {
            "Bucket": (
                "AWS::S3::Bucket",
                {
                    "BucketName": "data",
                    "NotificationConfiguration": {"EventBridgeConfiguration": {"EventBridgeEnabled": True}},
                },
            ),
            "Queue": ("AWS::SQS::Queue", {"QueueName": "uploads"}),
            "Rule": (
                "AWS::Events::Rule",
                {
                    "Description": "uploads",
                    "State": "ENABLED",
                    "EventPattern": {
                        "source": ["aws.s3"],
                        "detail-type": ["Object Created"],
                        "detail": {"bucket": {"name": [{"Ref": "Bucket"}]}, "object": {"key": [{"prefix": "raw/"}]}},
                    },
                    "Targets": [{"Id": "Target0", "Arn": {"Fn::GetAtt": ["Queue", "Arn"]}}],
                },
            ),
        },
        Outputs={"Url": {"Value": {"Ref": "Queue"}}},
    )

    target.client("s3").put_object(Bucket="data", Key="elsewhere/b.csv", Body=b"1")
    target.client("s3").put_object(Bucket="data", Key="raw/a.csv", Body=b"1")

    messages = target.client("sqs").receive_message(
        QueueUrl=deployment.outputs["Stack"]["Url"], MaxNumberOfMessages=10
    )["Messages"]
    assert [json.loads(message["Body"])["detail"]["object"]["key"] for message in messages] == ["raw/a.csv"]


def test_pipes_and_event_buses_are_there_with_what_they_refer_to(target: Target, tmp_path: Path) -> None:
    deployment = deploy_template(
        target,
        tmp_path,
        {
            "Role": ROLE,
            "Bus": ("AWS::Events::EventBus", {"Name": "music"}),
            "Queue": ("AWS::SQS::Queue", {"QueueName": "uploads"}),
            "Machine": (
                "AWS::StepFunctions::StateMachine",
                {"StateMachineName": "batch", "RoleArn": ROLE_ARN, "Definition": MACHINE_WITHOUT_PLACEHOLDERS},
            ),
            "Pipe": (
                "AWS::Pipes::Pipe",
                {
                    "Name": "batches",
                    "RoleArn": ROLE_ARN,
                    "Source": {"Fn::GetAtt": ["Queue", "Arn"]},
                    "SourceParameters": {
                        "SqsQueueParameters": {"BatchSize": 100, "MaximumBatchingWindowInSeconds": 300}
                    },
                    "Target": {"Ref": "Machine"},
                    "TargetParameters": {
                        "InputTemplate": "<$.body.detail>",
                        "StepFunctionStateMachineParameters": {"InvocationType": "FIRE_AND_FORGET"},
                    },
                },
            ),
        },
    )

    assert target.client("events").describe_event_bus(Name="music")["Name"] == "music"
    (pipe,) = deployment.of_type("AWS::Pipes::Pipe")
    description = target.client("pipes").describe_pipe(Name=pipe.created.ref)
    assert description["Source"] == pipe.properties["Source"] == f"arn:aws:sqs:{REGION}:{ACCOUNT}:uploads"
    assert pipe.properties["Target"] == f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:batch"


MACHINE = {**MACHINE_WITHOUT_PLACEHOLDERS, "Comment": "${Bucket}"}


@pytest.mark.parametrize(
    "definition",
    [
        {"DefinitionString": {"Fn::Join": ["", [json.dumps(MACHINE)]]}},
        {"Definition": MACHINE},
        {
            "DefinitionS3Location": {
                "Bucket": {"Fn::Sub": "cdk-hnb659fds-assets-${AWS::AccountId}-us-east-1"},
                "Key": "m",
            }
        },
    ],
)
def test_a_state_machine_has_its_substitutions_wherever_its_definition_lies(
    target: Target, tmp_path: Path, definition: dict[str, Any]
) -> None:
    machine = {
        "StateMachineName": "pipeline",
        "RoleArn": ROLE_ARN,
        "DefinitionSubstitutions": {"Bucket": {"Ref": "Bucket"}},
        "LoggingConfiguration": {
            "Level": "ALL",
            "IncludeExecutionData": True,
            "Destinations": [{"CloudWatchLogsLogGroup": {"LogGroupArn": {"Fn::GetAtt": ["Log", "Arn"]}}}],
        },
        "TracingConfiguration": {"Enabled": True},
        "Tags": [{"Key": "project", "Value": "test"}],
        **definition,
    }
    resources = {
        "Role": ROLE,
        "Bucket": ("AWS::S3::Bucket", {"BucketName": "data"}),
        "Log": ("AWS::Logs::LogGroup", {"LogGroupName": "/aws/vendedlogs/states/pipeline", "RetentionInDays": 30}),
        "Machine": ("AWS::StepFunctions::StateMachine", machine),
    }
    write_assembly(tmp_path, {"Stack": template(resources)}, files={"m": {"path": "machine.json", "packaging": "file"}})
    (tmp_path / "machine.json").write_text(json.dumps(MACHINE), encoding="utf-8")

    (deployed,) = deploy(read_assembly(tmp_path), target).of_type("AWS::StepFunctions::StateMachine")

    description = target.client("stepfunctions").describe_state_machine(stateMachineArn=deployed.created.ref)
    assert json.loads(description["definition"]) == {**MACHINE, "Comment": "data"}
    assert description["loggingConfiguration"]["level"] == "ALL"
    assert description["tracingConfiguration"]["enabled"] is True


def test_a_placeholder_without_a_substitution_is_an_error_that_names_it(target: Target, tmp_path: Path) -> None:
    machine = {"RoleArn": ROLE_ARN, "Definition": MACHINE, "DefinitionSubstitutions": {"Other": "x"}}

    with pytest.raises(DeploymentError, match="DefinitionSubstitutions lacks Bucket"):
        deploy_template(target, tmp_path, {"Role": ROLE, "M": ("AWS::StepFunctions::StateMachine", machine)})


def test_a_glue_job_has_its_script_its_arguments_and_its_limits(target: Target, tmp_path: Path) -> None:
    job = {
        "Name": "compute",
        "Role": ROLE_ARN,
        "Command": {"Name": "glueetl", "PythonVersion": "3", "ScriptLocation": "s3://assets/compute.py"},
        "DefaultArguments": {"--data_bucket": "data", "--job-language": "python"},
        "ExecutionProperty": {"MaxConcurrentRuns": 2},
        "GlueVersion": "5.1",
        "JobRunQueuingEnabled": True,
        "MaxRetries": 0,
        "NumberOfWorkers": 2,
        "Tags": {"project": "test"},
        "Timeout": 60,
        "WorkerType": "G.1X",
    }

    deploy_template(target, tmp_path, {"Role": ROLE, "Job": ("AWS::Glue::Job", job)})

    created = target.client("glue").get_job(JobName="compute")["Job"]
    assert created["Command"]["ScriptLocation"] == "s3://assets/compute.py"
    assert created["DefaultArguments"] == job["DefaultArguments"]
    assert (created["Timeout"], created["ExecutionProperty"]["MaxConcurrentRuns"]) == (60, 2)


def test_glue_databases_tables_and_security_configurations_are_there(target: Target, tmp_path: Path) -> None:
    encryption = {"S3Encryptions": [{"S3EncryptionMode": "SSE-S3"}]}
    deploy_template(
        target,
        tmp_path,
        {
            "Database": (
                "AWS::Glue::Database",
                {"CatalogId": {"Ref": "AWS::AccountId"}, "DatabaseInput": {"Name": "lake"}},
            ),
            "Plays": (
                "AWS::Glue::Table",
                {
                    "CatalogId": {"Ref": "AWS::AccountId"},
                    "DatabaseName": {"Ref": "Database"},
                    "TableInput": {"Name": "plays", "Parameters": {"projection.enabled": "true"}},
                },
            ),
            "Security": (
                "AWS::Glue::SecurityConfiguration",
                {"Name": "safe", "EncryptionConfiguration": encryption},
            ),
        },
    )

    glue = target.client("glue")
    assert glue.get_database(Name="lake")["Database"]["Name"] == "lake"
    table = glue.get_table(DatabaseName="lake", Name="plays")["Table"]
    assert table["Parameters"] == {"projection.enabled": "true"}
    assert glue.get_security_configuration(Name="safe")["SecurityConfiguration"]["Name"] == "safe"


def test_roles_have_their_policies_and_keys_their_alias(target: Target, tmp_path: Path) -> None:
    deployment = deploy_template(
        target,
        tmp_path,
        {
            "Role": (
                "AWS::IAM::Role",
                {
                    "RoleName": "job",
                    "AssumeRolePolicyDocument": TRUST,
                    "Policies": [{"PolicyName": "inline", "PolicyDocument": POLICY}],
                    "ManagedPolicyArns": [
                        {"Ref": "Managed"},
                        {"Fn::Sub": "arn:${AWS::Partition}:iam::aws:policy/service-role/AWSGlueServiceRole"},
                    ],
                },
            ),
            "Managed": ("AWS::IAM::ManagedPolicy", {"ManagedPolicyName": "own", "PolicyDocument": POLICY}),
            "Policy": (
                "AWS::IAM::Policy",
                {"PolicyName": "default", "Roles": [{"Ref": "Role"}], "PolicyDocument": POLICY},
            ),
            "Key": ("AWS::KMS::Key", {"KeyPolicy": POLICY, "EnableKeyRotation": True, "Description": "data"}),
            "Alias": (
                "AWS::KMS::Alias",
                {"AliasName": "alias/data", "TargetKeyId": {"Fn::GetAtt": ["Key", "Arn"]}},
            ),
        },
        Outputs={"Role": {"Value": {"Fn::GetAtt": ["Role", "Arn"]}}, "Key": {"Value": {"Ref": "Key"}}},
    )

    iam, kms, outputs = target.client("iam"), target.client("kms"), deployment.outputs["Stack"]
    assert outputs["Role"] == f"arn:aws:iam::{ACCOUNT}:role/job"
    assert sorted(iam.list_role_policies(RoleName="job")["PolicyNames"]) == ["default", "inline"]
    attached = iam.list_attached_role_policies(RoleName="job")["AttachedPolicies"]
    assert [policy["PolicyName"] for policy in attached] == ["own"]
    assert kms.describe_key(KeyId="alias/data")["KeyMetadata"]["KeyId"] == outputs["Key"]
    assert kms.get_key_rotation_status(KeyId=outputs["Key"])["KeyRotationEnabled"] is True


def test_logs_alarms_dashboards_and_parameters_are_there(target: Target, tmp_path: Path) -> None:
    deploy_template(
        target,
        tmp_path,
        {
            "Log": ("AWS::Logs::LogGroup", {"LogGroupName": "/jobs", "RetentionInDays": 30}),
            "LogPolicy": ("AWS::Logs::ResourcePolicy", {"PolicyName": "events", "PolicyDocument": json.dumps(POLICY)}),
            "Alarm": (
                "AWS::CloudWatch::Alarm",
                {
                    "AlarmName": "old messages",
                    "Namespace": "AWS/SQS",
                    "MetricName": "ApproximateAgeOfOldestMessage",
                    "Dimensions": [{"Name": "QueueName", "Value": "uploads"}],
                    "Statistic": "Maximum",
                    "Period": 300,
                    "EvaluationPeriods": 1,
                    "Threshold": 3600,
                    "ComparisonOperator": "GreaterThanThreshold",
                    "TreatMissingData": "notBreaching",
                    "AlarmActions": ["arn:aws:sns:us-east-1:123456789012:alerts"],
                },
            ),
            "Dashboard": (
                "AWS::CloudWatch::Dashboard",
                {
                    "DashboardName": "jobs",
                    "DashboardBody": {"Fn::Sub": '{"widgets":[],"start":"-PT${AWS::Region}"}'},
                    "Tags": [{"Key": "team", "Value": "music"}],
                },
            ),
            "Parameter": ("AWS::SSM::Parameter", {"Name": "/team/size", "Type": "String", "Value": "3"}),
        },
    )

    logs, cloudwatch = target.client("logs"), target.client("cloudwatch")
    (group,) = logs.describe_log_groups(logGroupNamePrefix="/jobs")["logGroups"]
    assert group["retentionInDays"] == 30
    assert logs.describe_resource_policies()["resourcePolicies"][0]["policyName"] == "events"
    (alarm,) = cloudwatch.describe_alarms()["MetricAlarms"]
    assert (alarm["AlarmName"], alarm["Threshold"]) == ("old messages", 3600)
    assert REGION in cloudwatch.get_dashboard(DashboardName="jobs")["DashboardBody"]
    assert target.client("ssm").get_parameter(Name="/team/size")["Parameter"]["Value"] == "3"


def test_the_server_is_reached_by_any_boto3_client(server: MotoServer, target: Target, tmp_path: Path) -> None:
    deploy_template(target, tmp_path, {"Queue": ("AWS::SQS::Queue", {"QueueName": "uploads"})})

    sqs = boto3.client(
        "sqs",
        endpoint_url=server.endpoint_url,
        region_name=REGION,
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )

    assert sqs.get_queue_url(QueueName="uploads")["QueueUrl"] == f"{server.endpoint_url}/{ACCOUNT}/uploads"
