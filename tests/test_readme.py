"""The README and the runbook keep their word."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from validators.reports import rejection_email

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text("utf-8")
RUNBOOK = (REPOSITORY / "docs/runbook.md").read_text("utf-8")
PAGES = sorted((REPOSITORY / "docs").rglob("*.md"))
CONSOLE_COMMANDS = re.findall(r"^\$ (.+)$", README, re.MULTILINE)
MAKE_COMMANDS = sorted({*CONSOLE_COMMANDS, *re.findall(r"`(make [a-z]+[^`]*)`", README)})


def test_every_console_command_is_a_make_target() -> None:
    assert "make run" in CONSOLE_COMMANDS
    assert "make test" in CONSOLE_COMMANDS
    assert all(command.startswith("make ") for command in CONSOLE_COMMANDS)


@pytest.mark.parametrize("command", MAKE_COMMANDS)
def test_make_knows_the_command(command: str) -> None:
    target, *variables = command.split()[1:]

    planned = subprocess.run(
        ["make", "--dry-run", target, *variables], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )

    assert planned.returncode == 0, planned.stderr


def test_help_tells_every_target() -> None:
    targets = re.findall(r"^\.PHONY: (.+)$", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE)

    told = subprocess.run(["make", "help"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout

    assert re.findall(r"^  make (\S+)", told, re.MULTILINE) == targets


def test_ci_runs_the_command_of_the_readme() -> None:
    assert (REPOSITORY / ".ci/run").read_text("utf-8").rstrip().endswith("make test")


@pytest.mark.parametrize("page", ["README.md", *(str(page.relative_to(REPOSITORY)) for page in PAGES)])
def test_every_link_leads_to_a_file(page: str) -> None:
    text = (REPOSITORY / page).read_text("utf-8")

    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if not target.startswith("https://"):
            assert (REPOSITORY / page).parent.joinpath(target).exists(), target


@pytest.mark.parametrize("status", ["FAILED", "TIMED OUT", "ABORTED"])
def test_the_runbook_has_an_entry_for_every_failure_email(status: str) -> None:
    definition = json.loads((REPOSITORY / "state_machines/notify_failure.asl.json").read_text("utf-8"))
    subject = definition["States"]["SendFailureEmail"]["Arguments"]["Subject"]
    before, after = re.findall(r"'(\[\$\{Environment\}\][^']+)' .* & '([^']+)' %\}", subject)[0]

    assert f"## `{before.replace('${Environment}', '<env>')}{status}{after}`" in RUNBOOK


def test_the_runbook_has_an_entry_for_the_rejection_email() -> None:
    email = rejection_email([], environment="<env>", bucket="", accepted=0, execution_arn="")

    assert f"## `{email['subject'].replace('0 file', '… file(s)')}`" in RUNBOOK
