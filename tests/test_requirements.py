"""What a fresh machine installs: every package is pinned, goes with the others, and is what the tests run on."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from laptop.glue_environment import packages_of_glue

REPOSITORY = Path(__file__).parents[1]


def _lines(name: str) -> list[str]:
    """The lines of a requirements file without comments, continued ones as one."""
    text = (REPOSITORY / name).read_text(encoding="utf-8").replace("\\\n", "")
    return [" ".join(line.split()) for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _is_option(line: str) -> bool:
    return line.startswith("-")


LINES = [line for line in _lines("requirements.txt") if not _is_option(line)]
OPTIONS = [line for line in _lines("requirements.txt") if _is_option(line)]
PINS = {canonicalize_name(name): version for name, _, version in (line.split()[0].partition("==") for line in LINES)}
LOCK = json.loads((REPOSITORY / "package-lock.json").read_text(encoding="utf-8"))
PACKAGE = json.loads((REPOSITORY / "package.json").read_text(encoding="utf-8"))


def _needs_of(requirement: Requirement) -> Iterator[Requirement]:
    """What an installed package needs on this machine, with the extras that are asked for."""
    for line in importlib.metadata.requires(requirement.name) or []:
        needed = Requirement(line)
        extras = ("", *requirement.extras)
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
            yield needed


def _wanted() -> list[Requirement]:
    """What requirements.in asks for, and what that needs in turn."""
    due = [Requirement(line) for line in _lines("requirements.in") if not _is_option(line)]
    wanted: dict[str, Requirement] = {}
    while due:
        requirement = due.pop()
        if wanted.setdefault(str(requirement), requirement) is requirement:
            due += _needs_of(requirement)
    return list(wanted.values())


def test_every_line_is_one_exact_version_and_no_package_stands_twice() -> None:
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.]+( --hash=sha256:[0-9a-f]{64})+", line) for line in LINES)
    assert len(PINS) == len(LINES)


def test_the_installed_versions_are_the_pinned_ones() -> None:
    installed = {name: importlib.metadata.version(name) for name in PINS}
    assert installed == PINS


def test_the_pins_are_what_requirements_in_needs_and_nothing_else() -> None:
    wanted = _wanted()
    for requirement in wanted:
        pinned = PINS.get(canonicalize_name(requirement.name))
        assert pinned is not None, f"{requirement} is not pinned"
        assert requirement.specifier.contains(pinned), f"{requirement} is wanted, {pinned} is pinned"
    assert PINS.keys() == {canonicalize_name(requirement.name) for requirement in wanted}


def test_what_glue_brings_is_pinned_to_glue_s_version() -> None:
    glue = packages_of_glue()
    assert {name: PINS[name] for name in PINS.keys() & glue.keys()} == {
        name: glue[name] for name in PINS.keys() & glue.keys()
    }


def test_only_wheels_are_installed_but_for_what_is_published_as_source() -> None:
    assert OPTIONS == ["--only-binary :all:", "--no-binary pyspark"]
    assert [line for line in _lines("requirements.in") if _is_option(line)] == OPTIONS


def test_what_builds_the_source_is_one_exact_wheel() -> None:
    option, setuptools = _lines("requirements-build.txt")
    assert option == "--only-binary :all:"
    assert re.fullmatch(r"setuptools==[\d.]+ --hash=sha256:[0-9a-f]{64}", setuptools)


def test_pip_refuses_a_file_of_another_hash(tmp_path: Path) -> None:
    wheel = _make_wheel(tmp_path, "pinned")
    requirements = tmp_path / "requirements.txt"
    command = [*shlex.split(_command_of_the_set_up(r"-r requirements\.txt")), "--dry-run", "--no-index"]
    command[0:1] = [sys.executable]
    command[command.index("requirements.txt")] = str(requirements)
    command += ["--find-links", str(tmp_path)]

    requirements.write_text(f"pinned==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    requirements.write_text(f"pinned==1.0 --hash=sha256:{'0' * 64}\n")
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "DO NOT MATCH THE HASHES" in refused.stderr
    requirements.write_text("pinned==1.0\n")
    assert "Hashes are required" in subprocess.run(command, capture_output=True, text=True, check=False).stderr


def test_pip_installs_the_builder_by_its_hash_and_builds_with_no_other() -> None:
    assert "--require-hashes" in _command_of_the_set_up(r"-r requirements-build\.txt")
    assert "--no-build-isolation" in _command_of_the_set_up(r"-r requirements\.txt")


def test_npm_installs_what_the_lock_file_names_by_hash() -> None:
    packages = {path: package for path, package in LOCK["packages"].items() if path}
    assert packages
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert LOCK["packages"][""]["dependencies"] == PACKAGE["dependencies"]
    assert LOCK["packages"][""]["devDependencies"] == PACKAGE["devDependencies"]


def test_the_cdk_cli_brings_no_other_package() -> None:
    of_deployments = [path for path, package in LOCK["packages"].items() if path and not package.get("dev")]
    assert of_deployments == ["node_modules/aws-cdk"]


@pytest.mark.parametrize("name", ["requirements.in", "requirements.txt", "requirements-build.txt", "package-lock.json"])
def test_no_registry_is_named(name: str) -> None:
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    assert not re.search(r"--(extra-)?index-url|--find-links|--trusted-host|\"resolved\"|registry\.|pythonhosted", text)


def test_a_package_of_npm_is_one_exact_version() -> None:
    pinned = PACKAGE["dependencies"] | PACKAGE["devDependencies"]
    assert pinned.keys() == {"aws-cdk", "mermaid", "uplot"}
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in pinned.values())
    assert {name: LOCK["packages"][f"node_modules/{name}"]["version"] for name in pinned} == pinned


def _command_of_the_set_up(ending: str) -> str:
    """The line of the Makefile's set-up that ends so, without make's own characters."""
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    found = re.search(rf"^\t@\$\(PY\) (-m pip install .*{ending})$", makefile, re.MULTILINE)
    assert found
    return f"python {found[1]}"


def _make_wheel(folder: Path, name: str) -> Path:
    """A wheel as small as pip takes it."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    of = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{of}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{of}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{of}/RECORD", "")
    return path
