"""The virtual environment in which the jobs run on a computer: Glue's packages, the jobs' wheels, and no others."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from glue_scripts import names
from glue_scripts.session import RUN_ID_ARGUMENT
from laptop import glue_environment
from laptop.glue_environment import (
    GLUE_ITSELF,
    OtherVersionError,
    make_environment,
    packages_of_glue,
    packages_of_the_jobs,
)
from stacks.packaging import build_zip
from stacks.wheels import wheels_of

ROOT = Path(__file__).parents[2]

TELL_PACKAGES: Final = """
import importlib.metadata, json, pkgutil, site
found = list(importlib.metadata.distributions())
modules = {file.parts[0].partition(".")[0] for one in found for file in one.files}
importable = {module.name for module in pkgutil.iter_modules(site.getsitepackages())}
print(json.dumps({"versions": {one.name: one.version for one in found}, "foreign": sorted(importable - modules)}))
"""

# What Glue puts beside a script's own arguments, and a value that begins as an argument does.
# https://docs.aws.amazon.com/glue/latest/dg/aws-glue-programming-etl-glue-arguments.html
ARGUMENTS_OF_GLUE: Final = [
    "true",
    *("--job-bookmark-option", "job-bookmark-disable"),
    *("--additional-python-modules", "s3://assets/some.gluewheels.zip"),
    *("--python-modules-installer-option", "--no-index --no-deps"),
    *("--extra-py-files", "s3://assets/packages.zip"),
    *("--enable-metrics", "true"),
    *("--enable-observability-metrics", "true"),
    *("--custom-logGroup-prefix", "/aws-glue/jobs/some"),
    *("--job-language", "python"),
    *("--TempDir", "s3://aws-glue-assets/temporary/"),
    *("--JOB_ID", "j_0"),
    *("--JOB_RUN_ID", "jr_0"),
    *("--JOB_NAME", "some-job"),
    *("--SECURITY_CONFIGURATION", "none"),
]
DECLARED: Final = {
    "validate_batch": (*names.VALIDATE_BATCH_RUN_ARGUMENTS, *names.VALIDATE_BATCH_JOB_ARGUMENTS),
    "compute_kpis": (*names.COMPUTE_KPIS_RUN_ARGUMENTS, *names.COMPUTE_KPIS_JOB_ARGUMENTS),
}

IMPORTED_LATER: Final = {"validate_batch": ["validators.expectations"], "compute_kpis": []}
"""What an entry imports while Spark starts."""

# Imports an entry with all that it imports, and reads the arguments that it declares as it does itself.
RUN_ENTRY: Final = """
import importlib, json, sys
for module in json.loads(sys.argv.pop(1)):
    importlib.import_module(module)
declared = json.loads(sys.argv.pop(1))
session = sys.modules["glue_scripts.session"]
ours = {name: one.__file__ for name, one in sys.modules.items() if name.startswith(("glue_scripts.", "validators."))}
print(json.dumps({"arguments": session.job_arguments(declared), "ours": ours}))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment as `make run` uses it."""
    return make_environment(tmp_path_factory.mktemp("environment"))


def _answer(python: Path, code: str, *arguments: str, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    command = [str(python), "-c", code, *arguments]
    done = subprocess.run(command, env=environment or {}, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert isinstance(answer, dict)
    return answer


@pytest.fixture(scope="module")
def packages(python: Path) -> dict[str, Any]:
    """Its packages with their versions, and modules that are of none of them."""
    return _answer(python, TELL_PACKAGES)


@pytest.fixture(scope="module")
def versions(packages: dict[str, Any]) -> dict[str, str]:
    """Version by name of its packages."""
    return {canonicalize_name(name): version for name, version in packages["versions"].items()}


def test_every_package_is_one_of_glue_or_of_the_jobs_wheels_in_exactly_that_version(versions: dict[str, str]) -> None:
    itself = {name: importlib.metadata.version(name) for name in GLUE_ITSELF}
    assert versions.items() <= (packages_of_glue() | packages_of_the_jobs() | itself).items()
    assert versions.keys() >= {*packages_of_the_jobs(), *GLUE_ITSELF, "boto3", "numpy", "pandas", "pyarrow"}


def test_no_module_is_there_that_belongs_to_no_package(packages: dict[str, Any]) -> None:
    assert packages["foreign"] == []


@pytest.mark.parametrize("module", ["aws_cdk", "moto", "pytest", "pip", "stacks", "tests", "local_aws", "laptop"])
def test_what_glue_has_not_cannot_be_imported(python: Path, module: str) -> None:
    command = [str(python), "-c", f"import {module}"]
    done = subprocess.run(command, env={}, cwd="/", capture_output=True, text=True, check=False)
    assert done.stderr.endswith(f"ModuleNotFoundError: No module named {module!r}\n")


def test_every_package_has_what_it_needs(versions: dict[str, str]) -> None:
    for name in versions:
        for line in importlib.metadata.requires(name) or []:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                version = versions.get(canonicalize_name(needed.name))
                assert version is not None, f"{name} needs {needed}"
                assert needed.specifier.contains(version), f"{name} needs {needed}, there is {version}"


@pytest.fixture(scope="module")
def python_of_the_kpi_job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has what Glue brings, and the wheels of the KPI job."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        installed = {wheel.name: wheel.version for wheel in wheels_of("compute-kpis")}
        monkeypatch.setattr(glue_environment, "packages_of_the_jobs", lambda: installed)
        return make_environment(tmp_path_factory.mktemp("kpi_job"))


@pytest.mark.parametrize(
    ("entry", "environment"), [("validate_batch", "python"), ("compute_kpis", "python_of_the_kpi_job")]
)
def test_an_entry_is_imported_from_the_zip_and_reads_its_arguments_among_those_of_glue(
    entry: str, environment: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    python: Path = request.getfixturevalue(environment)
    archive = tmp_path / "packages.zip"
    build_zip([ROOT / "glue_scripts", ROOT / "validators"], archive)
    given = {argument: f"value of {argument}" for argument in DECLARED[entry]}
    own = [part for name, value in given.items() for part in (f"--{name}", value)]

    answer = _answer(
        python,
        RUN_ENTRY,
        json.dumps([f"glue_scripts.{entry}", *IMPORTED_LATER[entry]]),
        *(json.dumps(DECLARED[entry]), *ARGUMENTS_OF_GLUE, *own),
        environment={"PYTHONPATH": str(archive)},
    )

    assert given.items() <= answer["arguments"].items()
    assert answer["arguments"][RUN_ID_ARGUMENT] == "jr_0"
    assert f"glue_scripts.{entry}" in answer["ours"]
    assert all(Path(file).is_relative_to(archive) for file in answer["ours"].values())


def test_a_package_that_is_here_in_another_version_than_glue_has_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(glue_environment, "packages_of_glue", lambda: {"boto3": "1.0"})
    with pytest.raises(OtherVersionError, match=r"Glue's jobs have boto3 1\.0, here is 1\.40\.61: correct"):
        make_environment(tmp_path / "environment")
    assert not (tmp_path / "environment").exists()


def test_a_package_that_another_brings_for_itself_is_not_taken_for_an_installed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once setuptools is imported, sys.path has its own packaging, in another version."""
    vendored = tmp_path / "vendored/packaging-99.0.dist-info"
    vendored.mkdir(parents=True)
    (vendored / "METADATA").write_text("Metadata-Version: 2.1\nName: packaging\nVersion: 99.0\n")
    monkeypatch.setattr("sys.path", [*sys.path, str(vendored.parent)])
    make_environment(tmp_path / "environment")


def test_it_is_made_anew_in_place_of_one_that_is_there(tmp_path: Path) -> None:
    leftover = tmp_path / "leftover"
    leftover.touch()
    make_environment(tmp_path)
    assert not leftover.exists()
