"""Reading a cloud assembly."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest

from local_aws.assembly import AssemblyError, read_assembly, zip_directory
from tests.local.assemblies import ASSETS_BUCKET, template, write_assembly, write_json

EMPTY = template({})


def test_stacks_come_in_the_order_of_their_dependencies(tmp_path: Path) -> None:
    write_assembly(
        tmp_path, {"Api": EMPTY, "Jobs": EMPTY, "Data": EMPTY}, dependencies={"Api": ["Jobs"], "Jobs": ["Data"]}
    )

    assert [stack.name for stack in read_assembly(tmp_path).stacks] == ["Data", "Jobs", "Api"]


def test_a_stack_that_fits_any_account_has_no_account(tmp_path: Path) -> None:
    write_assembly(tmp_path, {"Data": EMPTY})

    (stack,) = read_assembly(tmp_path).stacks

    assert (stack.account, stack.region) == (None, None)


def test_a_stack_that_was_synthesized_for_an_account_says_so(tmp_path: Path) -> None:
    write_assembly(tmp_path, {"Data": EMPTY}, environment="aws://111122223333/eu-west-1")

    (stack,) = read_assembly(tmp_path).stacks

    assert (stack.account, stack.region) == ("111122223333", "eu-west-1")


def test_the_stacks_of_a_stage_are_read_from_its_own_assembly(tmp_path: Path) -> None:
    write_assembly(tmp_path / "assembly-Prod", {"Data": EMPTY})
    stage = {"type": "cdk:cloud-assembly", "properties": {"directoryName": "assembly-Prod"}}
    write_json(tmp_path / "manifest.json", {"artifacts": {"assembly-Prod": stage}})

    assert [stack.name for stack in read_assembly(tmp_path).stacks] == ["Data"]


def test_a_file_asset_is_its_file(tmp_path: Path) -> None:
    write_assembly(tmp_path, {"Jobs": EMPTY}, files={"abc.py": {"path": "asset.abc.py", "packaging": "file"}})
    (tmp_path / "asset.abc.py").write_bytes(b"print('hello')\n")

    (asset,) = read_assembly(tmp_path).assets

    assert (asset.bucket, asset.key, asset.body()) == (ASSETS_BUCKET, "abc.py", b"print('hello')\n")


def test_a_directory_asset_is_packed_with_its_files_in_order(tmp_path: Path) -> None:
    write_assembly(tmp_path, {"Jobs": EMPTY}, files={"abc.zip": {"path": "asset.abc", "packaging": "zip"}})
    script = tmp_path / "asset.abc" / "package" / "script.sh"
    script.parent.mkdir(parents=True)
    script.write_text("echo hello\n", encoding="utf-8")
    script.chmod(0o755)
    (tmp_path / "asset.abc" / "z.py").write_text("", encoding="utf-8")

    (asset,) = read_assembly(tmp_path).assets
    with zipfile.ZipFile(io.BytesIO(asset.body())) as archive:
        assert archive.namelist() == ["package/script.sh", "z.py"]
        assert archive.read("package/script.sh") == b"echo hello\n"
        assert archive.getinfo("package/script.sh").external_attr >> 16 & 0o777 == 0o755


def test_an_archive_that_the_application_made_itself_is_not_packed_again(tmp_path: Path) -> None:
    write_assembly(tmp_path, {"Jobs": EMPTY}, files={"abc.zip": {"path": "asset.abc.zip", "packaging": "file"}})
    (tmp_path / "asset.abc.zip").write_bytes(b"PK whatever")

    assert read_assembly(tmp_path).assets[0].body() == b"PK whatever"


def test_the_same_content_gives_the_same_archive_at_another_time(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("x = 1\n", encoding="utf-8")
    first = zip_directory(tmp_path)
    os.utime(file, (1_000_000_000, 1_000_000_000))

    assert zip_directory(tmp_path) == first


def test_an_asset_that_two_stacks_share_is_uploaded_once(tmp_path: Path) -> None:
    write_assembly(tmp_path, {"Jobs": EMPTY}, files={"abc.py": {"path": "asset.abc.py", "packaging": "file"}})
    manifest: dict[str, dict[str, object]] = {"artifacts": {}}
    for name in ("one", "two"):
        manifest["artifacts"][name] = {"type": "cdk:asset-manifest", "properties": {"file": "files.assets.json"}}
    manifest["artifacts"]["Jobs"] = {
        "type": "aws:cloudformation:stack",
        "properties": {"templateFile": "Jobs.template.json"},
    }
    write_json(tmp_path / "manifest.json", manifest)

    assert len(read_assembly(tmp_path).assets) == 1


def test_a_folder_that_is_no_assembly_is_refused_with_the_command_to_type(tmp_path: Path) -> None:
    with pytest.raises(AssemblyError, match=r"manifest\.json does not exist; synthesize the application first"):
        read_assembly(tmp_path)


def test_a_manifest_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"artifacts": {', encoding="utf-8")

    with pytest.raises(AssemblyError, match="is not JSON"):
        read_assembly(tmp_path)


def test_an_assembly_without_stacks_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "manifest.json", {"artifacts": {}})

    with pytest.raises(AssemblyError, match="holds no stack"):
        read_assembly(tmp_path)


def test_an_unknown_artifact_is_refused_by_its_type(tmp_path: Path) -> None:
    write_json(tmp_path / "manifest.json", {"artifacts": {"Odd": {"type": "cdk:odd-thing"}}})

    with pytest.raises(AssemblyError, match="artifact Odd is of type cdk:odd-thing"):
        read_assembly(tmp_path)


def test_docker_images_are_refused(tmp_path: Path) -> None:
    write_assembly(tmp_path, {"Jobs": EMPTY}, files={"abc.py": {"path": "asset.abc.py", "packaging": "file"}})
    write_json(tmp_path / "files.assets.json", {"files": {}, "dockerImages": {"image": {}}})

    with pytest.raises(AssemblyError, match="Docker images"):
        read_assembly(tmp_path)


def test_an_asset_made_by_a_command_is_left_out(tmp_path: Path) -> None:
    files = {"abc.py": {"path": "asset.abc.py", "packaging": "file"}, "made.zip": {"executable": "false"}}
    write_assembly(tmp_path, {"Jobs": EMPTY}, files=files)

    assert [asset.key for asset in read_assembly(tmp_path).assets] == ["abc.py"]


def test_stacks_that_wait_for_each_other_are_refused(tmp_path: Path) -> None:
    write_assembly(tmp_path, {"A": EMPTY, "B": EMPTY}, dependencies={"A": ["B"], "B": ["A"]})

    with pytest.raises(AssemblyError, match="artifacts depend on each other"):
        read_assembly(tmp_path)
