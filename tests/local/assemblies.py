"""Writes small cloud assemblies by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ASSETS_BUCKET = "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"


def write_assembly(
    directory: Path,
    stacks: Mapping[str, Mapping[str, Any]],
    *,
    dependencies: Mapping[str, list[str]] | None = None,
    files: Mapping[str, Mapping[str, str]] | None = None,
    environment: str = "aws://unknown-account/unknown-region",
) -> Path:
    """Write an assembly.

    Args:
        directory: Where; it is made if there is none.
        stacks: Stack name to template.
        dependencies: Stack name to the artifacts it comes after.
        files: Object key to the `source` of a file asset of the first stack: `{"path", "packaging"}`.
        environment: The `environment` of every stack.

    Returns:
        The directory.
    """
    directory.mkdir(parents=True, exist_ok=True)
    artifacts: dict[str, Any] = {"Tree": {"type": "cdk:tree", "properties": {"file": "tree.json"}}}
    for name, template in stacks.items():
        write_json(directory / f"{name}.template.json", template)
        artifacts[name] = {
            "type": "aws:cloudformation:stack",
            "environment": environment,
            "properties": {"templateFile": f"{name}.template.json"},
            "dependencies": (dependencies or {}).get(name, []),
        }
    if files:
        destination = {"region": {"bucketName": ASSETS_BUCKET, "assumeRoleArn": "arn:${AWS::Partition}:iam::1:role/x"}}
        assets = {
            key: {
                "source": dict(source),
                "destinations": {name: {**place, "objectKey": key} for name, place in destination.items()},
            }
            for key, source in files.items()
        }
        write_json(directory / "files.assets.json", {"version": "48.0.0", "files": assets, "dockerImages": {}})
        artifacts["files.assets"] = {"type": "cdk:asset-manifest", "properties": {"file": "files.assets.json"}}
    write_json(directory / "manifest.json", {"version": "48.0.0", "artifacts": artifacts})
    return directory


def write_json(path: Path, document: object) -> None:
    """Write a document as JSON."""
    path.write_text(json.dumps(document), encoding="utf-8")


def template(resources: Mapping[str, Any], **sections: object) -> dict[str, Any]:
    """A template of resources, each `(type, properties)` or a whole resource, and further sections."""
    whole = {
        logical_id: {"Type": resource[0], "Properties": resource[1]} if isinstance(resource, tuple) else resource
        for logical_id, resource in resources.items()
    }
    return {"Resources": whole, **sections}


def role(*services: str, actions: tuple[str, ...] = ("*",)) -> tuple[str, dict[str, Any]]:
    """A role that services such as `glue` may assume, and that may do all or some things with every resource."""
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": [f"{service}.amazonaws.com" for service in services]},
        "Action": "sts:AssumeRole",
    }
    allowed = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    policy = {"PolicyName": "all", "PolicyDocument": {"Version": "2012-10-17", "Statement": [allowed]}}
    return (
        "AWS::IAM::Role",
        {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]}, "Policies": [policy]},
    )
