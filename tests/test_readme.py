"""The README and the runbook keep their word."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from operations.executions import FAIL_STATES
from stacks.settings import PREFIX
from validators.reports import RUNBOOK_ENTRY, EmailSettings, rejection_email

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text("utf-8")
RUNBOOK = (REPOSITORY / "docs/runbook.md").read_text("utf-8")
PIPELINE = json.loads((REPOSITORY / "state_machines/pipeline.asl.json").read_text("utf-8"))
NOTIFIER = json.loads((REPOSITORY / "state_machines/notify_failure.asl.json").read_text("utf-8"))
EMAILS = EmailSettings(environment="<env>", bucket="b", error_days=90, runbook="docs/runbook.md")
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:pipeline:batch"
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


def test_the_runbook_has_an_entry_for_every_failure_email() -> None:
    statuses = json.loads((REPOSITORY / "tests/infrastructure/snapshots/dev.json").read_text("utf-8"))
    rules = [
        one["Properties"] for one in statuses["Pipeline"]["Resources"].values() if one["Type"] == "AWS::Events::Rule"
    ]
    (told,) = [rule["EventPattern"]["detail"]["status"] for rule in rules if "status" in rule["EventPattern"]["detail"]]
    arguments = NOTIFIER["States"]["SendFailureEmail"]["Arguments"]
    before, after = re.findall(r"'(\[\$\{Environment\}\][^']+)' .* & '([^']+)' %\}", arguments["Subject"])[0]

    assert "'Runbook:   ${Runbook}#' & $lowercase($replace($execution.status, '_', '-'))" in arguments["Message"]
    for status in told:
        subject = f"{before.replace('${Environment}', '<env>')}{status.replace('_', ' ')}{after}"
        assert f'<a id="{status.lower().replace("_", "-")}"></a>\n## `{subject}`' in RUNBOOK


def test_the_runbook_has_an_entry_for_the_emails_of_alarms() -> None:
    assert f'## `ALARM: "{PREFIX}-<env>-…" in <region>`' in RUNBOOK


def test_the_runbook_has_an_entry_for_the_rejection_email() -> None:
    subject = rejection_email([], settings=EMAILS, accepted=0, execution_arn=EXECUTION)["subject"]

    assert f'<a id="{RUNBOOK_ENTRY}"></a>\n## `{subject.replace("0 file", "… file(s)")}`' in RUNBOOK


@pytest.mark.parametrize("email", sorted((REPOSITORY / "docs/emails").glob("*.txt")), ids=lambda path: path.stem)
def test_every_committed_email_leads_to_an_entry_of_the_runbook_and_is_named_there(email: Path) -> None:
    entries = re.findall(r"runbook\.(?:md|html)#([a-z-]+)", email.read_text("utf-8"))

    assert entries
    assert set(entries) <= set(re.findall(r'<a id="([a-z-]+)"></a>', RUNBOOK))
    assert f"(emails/{email.name})" in RUNBOOK


@pytest.mark.parametrize("page", ["README.md", *(str(page.relative_to(REPOSITORY)) for page in PAGES)])
def test_every_link_to_a_place_in_a_page_leads_to_an_anchor_or_a_heading(page: str) -> None:
    path = REPOSITORY / page

    for target, anchor in re.findall(r"\]\(([^):#]*)#([^)]+)\)", path.read_text("utf-8")):
        assert anchor in _places(path.parent / target if target else path), f"{target}#{anchor}"


def _places(page: Path) -> set[str]:
    """The anchors of a page, and those that GitHub makes of its headings."""
    text = page.read_text("utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    made = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a id="([^"]+)"></a>', text))


def test_the_runbook_and_the_notifier_know_the_states_that_end_in_themselves() -> None:
    fails = {state["Error"] for state in _states(PIPELINE) if state["Type"] == "Fail"}

    assert fails == set(FAIL_STATES)
    assert f"$error in {list(FAIL_STATES)}" in json.dumps(NOTIFIER, ensure_ascii=False)
    assert all(f"`{error}`" in RUNBOOK for error in fails)


def test_the_notifier_knows_after_which_states_the_kpis_are_complete() -> None:
    after, due = set(), ["Archive"]
    while due:
        name = due.pop()
        after.add(name)
        state = PIPELINE["States"][name]
        due += [choice["Next"] for choice in state.get("Choices", [])] + [
            state[key] for key in ("Next",) if key in state
        ]
        after |= set(state.get("ItemProcessor", {}).get("States", {}))
    listed = re.findall(r"'(\w+)'", NOTIFIER["States"]["ReadCause"]["Assign"]["are_kpis_done"])

    assert set(listed) == after - {"Finished"}


def _states(definition: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for state in definition["States"].values():
        yield state
        yield from _states(state.get("ItemProcessor", {"States": {}}))
