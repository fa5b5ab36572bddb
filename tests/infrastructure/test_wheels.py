"""The wheels of the jobs: which they are, and the zip in which each job's are shipped."""

from __future__ import annotations

import hashlib
import importlib.metadata
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from glue_scripts import names
from stacks.wheels import (
    INSTALLER_OPTION,
    PACKAGES,
    REQUIREMENTS,
    SUFFIX,
    MissingWheelsError,
    PinError,
    Wheel,
    archive_name,
    build_archive,
    read_wheels,
    wheels_of,
)

ROOT = Path(__file__).parents[2]
PACKAGES_OF_GLUE = ROOT / "glue_scripts" / "glue-5.1-packages.txt"
SOME_HASH = "0" * 64
OTHER_HASH = "1" * 64

PLATFORM_OF_GLUE = {"sys_platform": "linux", "platform_machine": "x86_64", "python_version": "3.11", "extra": ""}


def _make_wheel(folder: Path, name: str, code: str) -> Wheel:
    """A wheel as small as pip takes it."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", code)
        archive.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return Wheel(name, "1.0", hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.fixture
def wheels(tmp_path: Path) -> list[Wheel]:
    """Two wheels in `tmp_path/wheels`, and a leftover of another version."""
    folder = tmp_path / "wheels"
    made = [_make_wheel(folder, "second", "NUMBER = 2\n"), _make_wheel(folder, "first", "import second\n")]
    (folder / "first-0.9-py3-none-any.whl").write_bytes(b"leftover")
    return made


def test_each_job_of_ours_has_its_wheels() -> None:
    assert list(PACKAGES) == [names.VALIDATE_BATCH, names.COMPUTE_KPIS]
    assert wheels_of(names.VALIDATE_BATCH) == read_wheels(REQUIREMENTS)
    assert [wheel.name for wheel in wheels_of(names.COMPUTE_KPIS)] == ["duckdb"]


def test_every_pin_of_the_jobs_names_one_wheel() -> None:
    assert {"duckdb", "great-expectations"} <= {wheel.name for wheel in read_wheels(REQUIREMENTS)}


@pytest.mark.parametrize(
    "line",
    [
        "some-package",
        "some-package==1.0",
        f"some-package>=1.0 --hash=sha256:{SOME_HASH}",
        f"some-package==1.* --hash=sha256:{SOME_HASH}",
        f"some-package==1.0 --hash=sha256:{SOME_HASH} --hash=sha256:{OTHER_HASH}",
        "some-package==1.0 --hash=sha256:abc",
        f"some-package==1.0 --hash=md5:{SOME_HASH}",
        "-r others.txt",
        "--index-url https://index.example.com/simple",
    ],
)
def test_a_line_that_does_not_name_one_wheel_is_an_error_that_quotes_it(line: str, tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"good==1 --hash=sha256:{SOME_HASH}\n{line}\n")
    with pytest.raises(PinError, match="must name one wheel") as error:
        read_wheels(requirements)
    assert repr(line) in str(error.value)


def test_pins_may_go_on_in_the_next_line_and_have_comments(tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(
        f"# why\nb==2 \\\n    --hash=sha256:{SOME_HASH}\n\na==1 --hash=sha256:{OTHER_HASH}  # why\n"
    )
    assert read_wheels(requirements) == [Wheel("a", "1", OTHER_HASH), Wheel("b", "2", SOME_HASH)]


def _packages_of_glue() -> dict[str, str]:
    lines = PACKAGES_OF_GLUE.read_text(encoding="utf-8").splitlines()
    pins = (line.split("==") for line in lines if not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pins}


def test_no_package_of_glue_is_replaced() -> None:
    assert not {wheel.name for wheel in read_wheels(REQUIREMENTS)} & _packages_of_glue().keys()


def test_nothing_is_missing_on_glue() -> None:
    """Pip must look for no dependency there (`--no-deps`), so each must be a pin or come with Glue."""
    pins = {canonicalize_name(wheel.name): wheel.version for wheel in read_wheels(REQUIREMENTS)}
    there = _packages_of_glue() | pins
    for name in pins:
        for line in importlib.metadata.requires(name) or []:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate(PLATFORM_OF_GLUE):
                version = there.get(canonicalize_name(needed.name))
                assert version is not None, f"{name} needs {needed}: pin it in {REQUIREMENTS.name}, too"
                assert needed.specifier.contains(version), f"{name} needs {needed}, there is {version}"


def test_the_zip_holds_plain_pins_and_their_wheels_and_nothing_else(wheels: list[Wheel], tmp_path: Path) -> None:
    build_archive(wheels, tmp_path / "wheels", tmp_path / "made.zip")
    with zipfile.ZipFile(tmp_path / "made.zip") as archive:
        assert archive.namelist() == [
            "wheels/requirements.txt",
            "wheels/first-1.0-py3-none-any.whl",
            "wheels/second-1.0-py3-none-any.whl",
        ]
        assert archive.read("wheels/requirements.txt") == b"first==1.0\nsecond==1.0\n"


def test_the_same_wheels_give_the_same_bytes(wheels: list[Wheel], tmp_path: Path) -> None:
    build_archive(wheels, tmp_path / "wheels", tmp_path / "one.zip")
    build_archive(wheels[::-1], tmp_path / "wheels", tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_pip_installs_what_the_zip_holds_with_the_options_of_the_jobs(wheels: list[Wheel], tmp_path: Path) -> None:
    build_archive(wheels, tmp_path / "wheels", tmp_path / "made.zip")
    with zipfile.ZipFile(tmp_path / "made.zip") as archive:
        archive.extractall(tmp_path / "node")
    pip = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "install", "--target", "packages"]
    options = [*shlex.split(INSTALLER_OPTION), "--find-links", "wheels", "-r", "wheels/requirements.txt"]
    subprocess.run([*pip, *options], cwd=tmp_path / "node", check=True, capture_output=True)
    code = "import sys; sys.path.insert(0, 'packages'); import first; print(first.second.NUMBER)"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=tmp_path / "node", check=True, capture_output=True, text=True
    )
    assert done.stdout == "2\n"


def test_the_name_of_the_zip_follows_every_pin_and_no_order(wheels: list[Wheel]) -> None:
    first, second = wheels
    name = archive_name(wheels)
    assert name.endswith(SUFFIX)
    assert name == archive_name([second, first])
    others = [[first], [first, Wheel(second.name, "2.0", second.sha256)], [first, Wheel("second", "1.0", SOME_HASH)]]
    assert len({name, *map(archive_name, others)}) == 4


def test_a_wheel_that_is_not_there_is_told_with_the_command_that_gets_it(wheels: list[Wheel], tmp_path: Path) -> None:
    (tmp_path / "wheels" / "second-1.0-py3-none-any.whl").unlink()
    with pytest.raises(MissingWheelsError, match=r"lacks 1 of 2, such as second==1\.0 .*Run «make wheels»"):
        build_archive(wheels, tmp_path / "wheels", tmp_path / "made.zip")


def test_a_wheel_with_other_bytes_than_its_hash_says_is_not_shipped(wheels: list[Wheel], tmp_path: Path) -> None:
    with (tmp_path / "wheels" / "second-1.0-py3-none-any.whl").open("ab") as file:
        file.write(b"more")
    with pytest.raises(MissingWheelsError, match=r"such as second==1\.0 \(or holds it with other bytes"):
        build_archive(wheels, tmp_path / "wheels", tmp_path / "made.zip")
    assert not (tmp_path / "made.zip").exists()


@pytest.fixture
def checkout(wheels: list[Wheel], tmp_path: Path) -> Path:
    """As much of a checkout as the CDK CLI needs to make the zip, without wheels."""
    folder = tmp_path / "checkout"
    (folder / "stacks").mkdir(parents=True)
    for module in ("__init__.py", "packaging.py", "wheels.py"):
        shutil.copy(ROOT / "stacks" / module, folder / "stacks")
    (folder / "glue_scripts").mkdir()
    lines = [f"{wheel.pin} --hash=sha256:{wheel.sha256}\n" for wheel in wheels]
    (folder / "glue_scripts" / "requirements.txt").write_text("".join(lines))
    return folder


def _make_asset(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stacks.wheels", *arguments]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)


def test_the_command_of_the_asset_fails_with_one_sentence_where_wheels_are_missing(checkout: Path) -> None:
    done = _make_asset(checkout, "validate-batch")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: Wheels of the jobs are not there:")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "usage: python -m stacks.wheels {validate-batch,compute-kpis}"),
        (("compute",), "error: No job is named 'compute': use one of validate-batch, compute-kpis."),
        (("compute-kpis",), "error: requirements.txt lacks duckdb, which the job compute-kpis installs: add a pin."),
    ],
)
def test_a_command_that_makes_no_zip_says_why_in_one_line(
    checkout: Path, arguments: tuple[str, ...], told: str
) -> None:
    done = _make_asset(checkout, *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{told}\n")


def test_the_command_of_the_asset_prints_the_path_of_the_zip(
    checkout: Path, wheels: list[Wheel], tmp_path: Path
) -> None:
    shutil.copytree(tmp_path / "wheels", checkout / ".local" / "wheels")
    done = _make_asset(checkout, "validate-batch")
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == checkout / ".local" / "wheels" / archive_name(wheels)
    assert zipfile.is_zipfile(done.stdout.strip())
