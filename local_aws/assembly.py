"""The cloud assembly that `cdk synth` writes: its stacks in the order of their dependencies, and its file assets.

The format is AWS's cloud assembly schema (`@aws-cdk/cloud-assembly-schema`); only what a deployment needs is read.
An asset that a command makes is left out: commands of an assembly are not run, and reading its object fails.
"""

from __future__ import annotations

import io
import json
import logging
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Final

from local_aws.intrinsics import DeploymentError

LOG = logging.getLogger(__name__)

_ZIP_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_IGNORED_ARTIFACTS: Final[Mapping[str, str]] = {
    "cdk:tree": "the construct tree, for display only",
    "cdk:feature-flag-report": "a report for the reader",
    "aws:cdk:policy-validation-report": "a report for the reader",
}


class AssemblyError(DeploymentError):
    """The cloud assembly cannot be read; the message names the file and what to do."""


@dataclass(frozen=True)
class FileAsset:
    """A file or a directory that the deployment uploads before the stacks.

    Attributes:
        source: File or directory on this machine.
        packaging: `file` or `zip`.
        bucket: Target bucket, with `${AWS::…}` placeholders.
        key: Target key, with `${AWS::…}` placeholders.
    """

    source: Path
    packaging: str
    bucket: str
    key: str

    def body(self) -> bytes:
        """Return the bytes to upload; a directory is packed as the CDK CLI does it."""
        if self.packaging == "zip" and self.source.is_dir():
            return zip_directory(self.source)
        return self.source.read_bytes()


@dataclass(frozen=True)
class Stack:
    """A CloudFormation stack of the assembly.

    Attributes:
        name: Stack name.
        template: The parsed template.
        parameters: Values that the assembly itself gives to template parameters.
        account: Account the stack was synthesized for, None if it fits any.
        region: Region the stack was synthesized for, None if it fits any.
    """

    name: str
    template: Mapping[str, Any]
    parameters: Mapping[str, str]
    account: str | None
    region: str | None


@dataclass(frozen=True)
class Assembly:
    """A cloud assembly: stacks in deployment order, and the file assets they use."""

    stacks: tuple[Stack, ...]
    assets: tuple[FileAsset, ...]


def read_assembly(directory: Path) -> Assembly:
    """Read a cloud assembly, the assemblies of its stages included.

    Args:
        directory: The folder with `manifest.json` (usually `cdk.out`).

    Raises:
        AssemblyError: It is no cloud assembly, or it holds something that cannot be deployed here.
    """
    stacks: list[Stack] = []
    assets: list[FileAsset] = []
    for folder, artifacts in _manifests(directory):
        for artifact_id in _in_order(artifacts, folder):
            artifact = artifacts[artifact_id]
            match artifact["type"]:
                case "aws:cloudformation:stack":
                    stacks.append(_read_stack(artifact_id, artifact, folder))
                case "cdk:asset-manifest":
                    assets.extend(_read_assets(folder / artifact["properties"]["file"]))
                case "cdk:cloud-assembly":
                    continue
                case other if other not in _IGNORED_ARTIFACTS:
                    raise AssemblyError(
                        f"{folder / 'manifest.json'}: artifact {artifact_id} is of type {other}, "
                        "which local_aws/assembly.py does not know."
                    )
    if not stacks:
        raise AssemblyError(f"{directory / 'manifest.json'} holds no stack; synthesize the application again.")
    return Assembly(tuple(stacks), tuple(dict.fromkeys(assets)))


def zip_directory(directory: Path) -> bytes:
    """Pack a directory as the CDK CLI does: sorted files, no folder entries, one date for all.

    The same content gives the same bytes on every machine.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for path in directory.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(directory).as_posix(), date_time=_ZIP_EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = path.stat().st_mode << 16
            archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()


def _manifests(directory: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    artifacts: dict[str, Any] = _read_json(directory / "manifest.json").get("artifacts", {})
    yield directory, artifacts
    for artifact in artifacts.values():
        if artifact["type"] == "cdk:cloud-assembly":
            yield from _manifests(directory / artifact["properties"]["directoryName"])


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AssemblyError(f"{path} does not exist; synthesize the application first (`python app.py`).") from None
    except json.JSONDecodeError as error:
        raise AssemblyError(f"{path} is not JSON ({error}); synthesize the application again.") from error
    if not isinstance(document, dict):
        raise AssemblyError(f"{path} is not a JSON object; synthesize the application again.")
    return document


def _in_order(artifacts: Mapping[str, Any], folder: Path) -> list[str]:
    graph = {name: [d for d in item.get("dependencies", ()) if d in artifacts] for name, item in artifacts.items()}
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise AssemblyError(f"{folder / 'manifest.json'}: artifacts depend on each other: {error.args[1]}.") from error


def _read_stack(artifact_id: str, artifact: Mapping[str, Any], folder: Path) -> Stack:
    properties = artifact["properties"]
    account, region = _environment(artifact.get("environment", "aws://unknown-account/unknown-region"))
    return Stack(
        name=properties.get("stackName", artifact_id),
        template=_read_json(folder / properties["templateFile"]),
        parameters=properties.get("parameters", {}),
        account=account,
        region=region,
    )


def _environment(url: str) -> tuple[str | None, str | None]:
    account, _, region = url.removeprefix("aws://").partition("/")
    return (None if account == "unknown-account" else account, None if region == "unknown-region" else region)


def _read_assets(path: Path) -> Iterator[FileAsset]:
    manifest = _read_json(path)
    if manifest.get("dockerImages"):
        raise AssemblyError(f"{path} holds Docker images, which local_aws cannot build.")
    for asset_id, asset in manifest.get("files", {}).items():
        source = asset["source"]
        if "path" not in source:
            LOG.info("Asset %s is made by a command, which is not run: there will be no such object", asset_id)
            continue
        for destination in asset["destinations"].values():
            yield FileAsset(
                source=path.parent / source["path"],
                packaging=source.get("packaging", "file"),
                bucket=destination["bucketName"],
                key=destination["objectKey"],
            )
