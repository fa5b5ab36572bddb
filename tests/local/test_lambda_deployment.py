"""Functions of a template, deployed and invoked on the embedded AWS."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from local_aws.intrinsics import DeploymentError
from local_aws.lambda_functions import RUNTIME
from local_aws.server import EmbeddedAws
from tests.local.assemblies import role, template, write_assembly
from tests.local.clients import operators_client

ASSETS = {"Fn::Sub": "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"}
FUNCTION: dict[str, Any] = {
    "FunctionName": "greets",
    "Runtime": "python3.11",
    "Handler": "shop.greeting.handler",
    "Role": {"Fn::GetAtt": ["Role", "Arn"]},
    "Code": {"S3Bucket": ASSETS, "S3Key": "code.zip"},
    "Environment": {"Variables": {"WORD": {"Ref": "Word"}}},
    "Architectures": ["arm64"],
    "MemorySize": 512,
    "Timeout": 10,
    "TracingConfig": {"Mode": "Active"},
    "LoggingConfig": {"LogGroup": "greetings", "LogFormat": "JSON"},
}
PERMISSION = {
    "FunctionName": {"Fn::GetAtt": ["Function", "Arn"]},
    "Action": "lambda:InvokeFunction",
    "Principal": "apigateway.amazonaws.com",
    "SourceArn": "arn:aws:execute-api:us-east-1:123456789012:api/*",
}


def assembly(folder: Path, function: Mapping[str, Any]) -> Path:
    """A function whose code is a folder that the deployment packs, as the CDK does it."""
    code = folder / "asset" / "shop"
    code.mkdir(parents=True)
    (code / "__init__.py").write_text("", encoding="utf-8")
    (code / "greeting.py").write_text(
        "import os\ndef handler(event, context): return f'{os.environ[\"WORD\"]} {event}'\n", encoding="utf-8"
    )
    resources = {
        "Role": role("lambda"),
        "Function": ("AWS::Lambda::Function", function),
        "Permission": ("AWS::Lambda::Permission", PERMISSION),
    }
    return write_assembly(
        folder,
        {
            "Stack": template(
                resources,
                Parameters={"Word": {"Type": "String", "Default": "Hello"}},
                Outputs={
                    "Name": {"Value": {"Ref": "Function"}},
                    "Arn": {"Value": {"Fn::GetAtt": ["Function", "Arn"]}},
                },
            )
        },
        files={"code.zip": {"path": "asset", "packaging": "zip"}},
    )


def test_a_function_of_the_template_is_invoked_with_its_code_and_variables(tmp_path: Path) -> None:
    with EmbeddedAws(assembly(tmp_path / "cdk.out", FUNCTION), tmp_path / "aws") as aws:
        client = operators_client(aws.environment(), "lambda")
        outputs = aws.outputs["Stack"]

        answer = client.invoke(FunctionName=outputs["Arn"], Payload=b'"world"')
        policy = json.loads(client.get_policy(FunctionName=outputs["Name"])["Policy"])
        configuration = client.get_function_configuration(FunctionName="greets")

        assert answer["Payload"].read() == b'"Hello world"'
        assert answer["ExecutedVersion"] == "$LATEST"
        assert policy["Statement"][0]["Principal"] == {"Service": "apigateway.amazonaws.com"}
        assert (configuration["Timeout"], configuration["MemorySize"]) == (10, 512)
        assert list((tmp_path / "aws" / "logs" / "lambda" / "greets").iterdir())


def test_a_function_of_a_later_python_runs_on_this_one_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with EmbeddedAws(assembly(tmp_path / "cdk.out", {**FUNCTION, "Runtime": "python3.13"}), tmp_path / "aws") as aws:
        client = operators_client(aws.environment(), "lambda")

        answer = client.invoke(FunctionName="greets", Payload=b'"world"')

        assert answer["Payload"].read() == b'"Hello world"'
        assert client.get_function_configuration(FunctionName="greets")["Runtime"] == "python3.13"
    assert f"function greets names python3.13 and runs on the Python of the embedded AWS, {RUNTIME}" in caplog.messages


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Runtime": "nodejs22.x"}, "Runtime = 'nodejs22.x' cannot be emulated"),
        ({"Runtime": "python3.10"}, "Runtime = 'python3.10' cannot be emulated"),
        ({"Runtime": "python3.99"}, "Runtime = 'python3.99' cannot be emulated"),
        ({"Layers": ["arn:aws:lambda:us-east-1:1:layer:x:1"]}, "Layers"),
        ({"PackageType": "Image"}, "PackageType"),
        ({"Code": {"ImageUri": "x"}}, "ImageUri is not emulated"),
        ({"VpcConfig": {"SubnetIds": []}}, "VpcConfig"),
    ],
)
def test_what_cannot_be_run_is_an_error_that_names_it(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DeploymentError, match=message):
        EmbeddedAws(assembly(tmp_path / "cdk.out", {**FUNCTION, **change}), tmp_path / "aws").start()
