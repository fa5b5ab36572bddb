"""app.py: what a user runs, as a process and as a function."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import aws_cdk as cdk
import pytest
from aws_cdk import aws_s3 as s3

from app import build_app
from stacks.settings import SettingsError, check_region

ROOT = Path(__file__).parents[2]


def _run_app(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run app.py as on a fresh machine: no credentials, no region, no Node or Docker on PATH."""
    bare = {
        "PATH": str(folder),
        "HOME": os.environ["HOME"],  # jsii unpacks aws-cdk-lib into a cache there
        "AWS_CONFIG_FILE": str(folder / "absent"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "absent"),
    }
    command = [sys.executable, str(ROOT / "app.py")]
    return subprocess.run(
        command, cwd=folder, env=bare | environment, capture_output=True, text=True, timeout=300, check=False
    )


def test_python_alone_writes_the_assembly_of_dev(tmp_path: Path) -> None:
    done = _run_app(tmp_path)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "cdk.out").glob("*.template.json")} == {
        "MusicKpi-dev-Storage.template.json",
        "MusicKpi-dev-Pipeline.template.json",
        "MusicKpi-dev-Monitoring.template.json",
        "MusicKpi-dev-Api.template.json",
    }


def test_what_the_cdk_command_gives_wins(tmp_path: Path) -> None:
    context = {"env": "prod", "alert_emails": "a@example.com,b@example.com"}
    done = _run_app(tmp_path, CDK_OUTDIR=str(tmp_path / "elsewhere"), CDK_CONTEXT_JSON=json.dumps(context))
    assert done.returncode == 0, done.stderr
    template = json.loads((tmp_path / "elsewhere" / "MusicKpi-prod-Storage.template.json").read_text())
    subscriptions = [
        resource["Properties"]
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::SNS::Subscription"
    ]
    assert [(one["Protocol"], one["Endpoint"]) for one in subscriptions] == [
        ("email", "a@example.com"),
        ("email", "b@example.com"),
    ]


def test_an_unknown_environment_ends_with_one_line_that_lists_the_known_ones(tmp_path: Path) -> None:
    done = _run_app(tmp_path, CDK_CONTEXT_JSON=json.dumps({"env": "production"}))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: There is no environment 'production'.")
    assert "dev, staging, prod" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_region_of_another_partition_ends_with_one_line(tmp_path: Path) -> None:
    region = "us-gov-west-1"
    done = _run_app(tmp_path, CDK_DEFAULT_REGION=region)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"error: The region {region} is of another partition than `aws`")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "region", ["cn-north-1", "cn-northwest-1", "us-gov-east-1", "us-iso-east-1", "us-isob-east-1", "eusc-de-east-1"]
)
def test_no_region_of_another_partition_is_let_through(region: str) -> None:
    with pytest.raises(SettingsError, match=f"The region {region} is of another partition"):
        check_region(region)


@pytest.mark.parametrize("region", [None, "us-east-1", "eu-central-1", "ap-southeast-5", "mx-central-1"])
def test_commercial_regions_are_let_through(region: str | None) -> None:
    check_region(region)


@pytest.mark.parametrize(("environment", "protected"), [("dev", False), ("prod", True)])
def test_all_stacks_are_protected_from_deletion_where_data_is_retained(
    environment: str, protected: bool, tmp_path: Path
) -> None:
    app = build_app(environment, tmp_path)
    stacks = [child for child in app.node.children if isinstance(child, cdk.Stack)]
    assert [stack.termination_protection for stack in stacks] == [protected] * 4


def test_a_finding_of_cdk_nag_stops_the_synthesis(tmp_path: Path) -> None:
    app = build_app("dev", tmp_path)
    stack = next(child for child in app.node.children if isinstance(child, cdk.Stack))
    s3.CfnBucket(stack, "Open")
    with pytest.raises(RuntimeError, match=r"does not require requests to use SSL"):
        app.synth()
