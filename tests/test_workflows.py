"""The GitHub Actions: their form, their rights, and that what they run and name exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from stacks.settings import read_context

REPOSITORY = Path(__file__).parents[1]
WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
TOOLS = Path(sys.executable).parent


def _read(name: str) -> dict[str, Any]:
    workflow = YAML(typ="safe").load(REPOSITORY / ".github" / "workflows" / name)
    assert isinstance(workflow, dict)
    return workflow


def _steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job.get("steps", [])]


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_checks_and_a_deployment() -> None:
    assert [path.name for path in WORKFLOWS] == ["checks.yml", "deploy.yml"]


def test_they_are_of_the_form_that_github_takes() -> None:
    _run(str(TOOLS / "check-jsonschema"), "--builtin-schema", "vendor.github-workflows", *map(str, WORKFLOWS))


def test_zizmor_finds_nothing() -> None:
    _run(str(TOOLS / "zizmor"), "--offline", "--no-progress", ".github")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_of_others_is_a_commit_and_none_gets_a_key(path: Path) -> None:
    for step in _steps(_read(path.name)):
        if "uses" in step:
            assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", step["uses"])
    assert not re.search(r"aws-(secret-)?access-key|secrets\.", path.read_text(encoding="utf-8"), re.IGNORECASE)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_command_is_a_target_of_the_makefile_or_a_module(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    commands = "\n".join(step["run"].replace("\\\n", " ") for step in _steps(_read(path.name)) if "run" in step)
    used = {
        word
        for line in re.findall(r"^make .*", commands, re.MULTILINE)
        for word in line.partition("ENV=")[0].split()[1:]
        if not word.startswith("--")
    }
    assert used
    assert used <= targets


def test_one_can_deploy_to_each_environment_and_to_no_other() -> None:
    inputs = _read("deploy.yml")["on"]["workflow_dispatch"]["inputs"]
    assert inputs["environment"]["options"] == list(read_context()["environments"])


def test_a_deployment_comes_after_the_checks_and_a_diff_and_waits_for_its_environments_approval() -> None:
    jobs = _read("deploy.yml")["jobs"]
    assert (jobs["diff"]["needs"], jobs["deploy"]["needs"]) == ("checks", "diff")
    assert jobs["deploy"]["environment"] == "${{ inputs.environment }}"
    assert jobs["diff"]["environment"] == "${{ inputs.environment }}-diff"


def test_only_the_jobs_that_ask_for_credentials_may_have_an_identity() -> None:
    for path in WORKFLOWS:
        for name, job in _read(path.name)["jobs"].items():
            asks = any("configure-aws-credentials" in step.get("uses", "") for step in job.get("steps", []))
            assert ("id-token" in job["permissions"]) == asks, f"{path.name}, {name}"
            assert set(job["permissions"]) <= {"contents", "id-token"}


def test_a_job_with_an_identity_runs_nothing_that_is_unpinned() -> None:
    jobs = _read("deploy.yml")["jobs"]
    with_identity = {name: job for name, job in jobs.items() if "id-token" in job["permissions"]}
    assert with_identity.keys() == {"diff", "deploy"}
    for job in with_identity.values():
        assert job["runs-on"] == "ubuntu-24.04"
        for step in job["steps"]:
            # Actions by commit, Python to the last digit; what make installs has hashes (tests/test_requirements.py).
            assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", step.get("uses", f"none/none@{'0' * 40}"))
            if "setup-python" in step.get("uses", ""):
                assert re.fullmatch(r"3\.11\.\d+", step["with"]["python-version"])
            commands = re.sub(r"\\\n", " ", step.get("run", "")).splitlines()
            assert all(re.match(r"\s*(make |set -o pipefail|\{ echo )", command) for command in commands if command)
