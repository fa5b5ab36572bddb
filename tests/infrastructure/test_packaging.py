"""The zip of our packages."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from stacks.packaging import build_zip


@pytest.fixture
def package(tmp_path: Path) -> Path:
    package = tmp_path / "some_package"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "b.py").write_text("NUMBER = 42\n")
    (package / "inner" / "a.json").write_text("{}")
    return package


def test_the_same_sources_give_the_same_bytes(package: Path, tmp_path: Path) -> None:
    build_zip([package], tmp_path / "one.zip")
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "b.cpython-311.pyc").write_bytes(b"cache")
    (package / ".DS_Store").write_bytes(b"finder")
    (package / "b.py").chmod(0o755)
    os.utime(package / "b.py", (2_000_000_000, 2_000_000_000))
    build_zip([package], tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_another_source_gives_other_bytes(package: Path, tmp_path: Path) -> None:
    build_zip([package], tmp_path / "one.zip")
    (package / "b.py").write_text("NUMBER = 43\n")
    build_zip([package], tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() != (tmp_path / "two.zip").read_bytes()


def test_the_zip_holds_every_source_under_the_name_of_its_package(package: Path, tmp_path: Path) -> None:
    build_zip([package], tmp_path / "one.zip")
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert archive.namelist() == ["some_package/__init__.py", "some_package/b.py", "some_package/inner/a.json"]


def test_python_imports_from_the_zip(package: Path, tmp_path: Path) -> None:
    build_zip([package], tmp_path / "one.zip")
    command = [
        sys.executable,
        "-I",
        "-c",
        "import sys; sys.path.insert(0, sys.argv[1]); import some_package.b as b; print(b.NUMBER)",
    ]
    done = subprocess.run([*command, str(tmp_path / "one.zip")], capture_output=True, text=True, check=True)
    assert done.stdout == "42\n"


def test_an_empty_package_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing to package in .*absent"):
        build_zip([tmp_path / "absent"], tmp_path / "one.zip")
