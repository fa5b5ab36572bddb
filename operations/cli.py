"""The commands. Each finds its environment by name, does one thing, and tells what it did."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Final, NoReturn

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import RenderableType
from rich.text import Text
from typer.exceptions import TyperException

from glue_scripts.forgotten_files import FORGOTTEN_AFTER, RawVersion
from glue_scripts.ledger import FileStatus
from glue_scripts.publication import read_days
from operations import collect, executions, files, kpis, purge, recompute, replay, show, status, withdrawals
from operations.days import outdated as outdated_days
from operations.deployment import Deployment
from operations.errors import ExitCode, OperationError, RefusedError, aws_failure
from operations.output import data_console, json_text, lines
from validators.printable import printable

HELP = """
The operator's commands for the music KPI pipeline, on AWS and on the embedded AWS (set AWS_ENDPOINT_URL).

Every command can be interrupted and repeated. Exit codes: 0 done; 1 failed; 2 wrong usage, or there is no such
environment, execution, file or day; 3 not done in time, repeat it; 4 refused, see the message; 130 interrupted.
"""

# Neither markup nor pretty tracebacks: both would read what a producer wrote as instructions.
app = typer.Typer(
    help=HELP, no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)
console = data_console()
errors = data_console(stderr=True)

Environment = Annotated[
    str, typer.Option("--env", envvar="MUSIC_KPI_ENV", help="dev, staging or prod: a part of every resource's name.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]
Minutes = Annotated[float, typer.Option("--minutes", min=0, help="How long to wait at most for what runs.")]
Version = Annotated[str | None, typer.Option("--version", help="The object version; needed where the key has several.")]
OLDER_THAN: Final = FORGOTTEN_AFTER.total_seconds() / 60
OlderThan = Annotated[
    float,
    typer.Option(
        "--older-than", min=0, help="Minutes in raw/ after which a file that the ledger does not know is forgotten."
    ),
]
DAY = "%Y-%m-%d"


def main() -> NoReturn:
    """Runs a command, and turns what an operator must know into one sentence and an exit code."""
    try:
        exit_code = app(standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        _fail("Interrupted: repeat the command, it goes on where this one ended.", ExitCode.INTERRUPTED)
    except OperationError as error:
        _fail(str(error), error.exit_code)
    except (ClientError, BotoCoreError) as error:
        _fail(f"{aws_failure(error)}. Check credentials and permissions, then repeat.", ExitCode.FAILED)
    except TyperException as error:
        _fail(f"{error.format_message()} See python -m operations --help.", ExitCode.USAGE)
    sys.exit(exit_code or ExitCode.DONE)


@app.command("status")
def show_status(environment: Environment, older_than: OlderThan = OLDER_THAN, as_json: AsJson = False) -> None:
    """How the pipeline stands: files, days, queues, executions, purges."""
    found = status.status(Deployment.find(environment), older_than=older_than)
    if as_json:
        _print_json(found)
    else:
        _print(show.status_tables(found))


@app.command("redrive")
def redrive_executions(
    environment: Environment,
    named: Annotated[
        list[str] | None, typer.Argument(metavar="[EXECUTION]...", help="ARNs or names; all if none.")
    ] = None,
    yes: Yes = False,
) -> None:
    """Let failed, timed-out or aborted executions go on at the state that failed."""
    deployment = Deployment.find(environment)
    purge.refuse_while_purging(deployment)
    found = executions.find_failed(deployment, named) if named else executions.failed_executions(deployment)
    for execution in found:
        if execution.obstacle:
            _say(f"{execution.name} cannot be redriven: {execution.obstacle}")
    due = [execution for execution in found if not execution.obstacle]
    if not due:
        _say("There is nothing to redrive.")
        raise typer.Exit(ExitCode.DONE if not named else ExitCode.FAILED)
    if not named:
        names = ", ".join(show.shortened([execution.name for execution in due], more="`status --json` lists all"))
        _confirm(f"Redrive {len(due)} executions: {names}?", yes)
    for execution in due:
        executions.redrive(deployment, execution)
        _say(f"{execution.name} goes on")


@app.command("replay")
def replay_files(
    environment: Environment,
    keys: Annotated[list[str] | None, typer.Argument(metavar="[KEY]...", help="Keys in raw/ or in error/.")] = None,
    error: Annotated[bool, typer.Option("--error", help="Everything in error/; KEYs are prefixes then.")] = False,
    forgotten: Annotated[
        bool, typer.Option("--forgotten", help="Files in raw/ that the ledger does not know.")
    ] = False,
    dead_letters: Annotated[bool, typer.Option("--dead-letters", help="The dead letters of the upload queue.")] = False,
    clean: Annotated[bool, typer.Option("--clean", help="Only remove from error/ what is accepted meanwhile.")] = False,
    older_than: OlderThan = OLDER_THAN,
    yes: Yes = False,
) -> None:
    """Give rejected or forgotten files, or dead letters, another try; and remove from error/ what has been accepted.

    A file goes back under its key in raw/ as a fresh version. Its copy and report in error/ go once that is loaded: at
    the next `replay`, or `replay --clean`. A file in raw/ that the ledger does not know stays as it is, and an event
    about it is sent.
    """
    deployment = Deployment.find(environment)
    purge.refuse_while_purging(deployment)
    if sum((bool(keys) or error, forgotten, dead_letters, clean)) != 1:
        raise typer.BadParameter("give KEYs, --error, --forgotten, --dead-letters or --clean.")
    for file in replay.clean(deployment):
        _say(f"{file.error_key} is accepted and removed from error/")
    if dead_letters:
        _say(f"{replay.replay_dead_letters(deployment)} dead letters are back in the upload queue")
    elif forgotten:
        _replay_forgotten(deployment, older_than, yes)
    elif error:
        _replay_rejected(
            deployment, [file for prefix in keys or [""] for file in replay.error_files(deployment, prefix)], yes
        )
    elif keys:
        _replay_named(deployment, keys)


def _replay_forgotten(deployment: Deployment, minutes: float, yes: bool) -> None:
    found = replay.forgotten(deployment, minutes=minutes)
    if not found.files:
        _say("There is nothing to replay.")
        return
    _confirm(f"Send events for {len(found.files)} files?", yes)
    _start(deployment, found.files)
    if not found.is_complete:
        _say("There may be more of them: repeat the command when these are in the ledger.")


def _replay_rejected(deployment: Deployment, files: Sequence[replay.ErrorFile], yes: bool) -> None:
    if not files:
        _say("There is nothing to replay.")
        return
    _confirm(f"Replay {len(files)} files?", yes)
    for file in files:
        done = replay.obstacle(deployment, file) or replay.replay(deployment, file)
        _say(f"{file.key} (version {file.version_id}) {done}")


def _replay_named(deployment: Deployment, keys: Sequence[str]) -> None:
    found = replay.find(deployment, keys)
    obstacles = {file.error_key: replay.obstacle(deployment, file) for file in found.rejected}
    for file in found.rejected:
        done = obstacles[file.error_key] or replay.replay(deployment, file)
        _say(f"{file.key} (version {file.version_id}) {done}")
    _start(deployment, found.forgotten)
    if any(obstacles.values()):
        raise typer.Exit(ExitCode.FAILED)


def _start(deployment: Deployment, files: Sequence[RawVersion]) -> None:
    for file in files:
        replay.start(deployment, file)
        _say(f"{file.key} (version {file.version_id}) was not known to the ledger: an event about it is sent")


@app.command("recompute")
def recompute_days(
    environment: Environment,
    first: Annotated[datetime | None, typer.Option("--from", formats=[DAY], help="First day.")] = None,
    last: Annotated[datetime | None, typer.Option("--to", formats=[DAY], help="Last day, included.")] = None,
    outdated: Annotated[bool, typer.Option("--outdated", help="The days that `status` calls outdated.")] = False,
    minutes: Minutes = 240,
    as_json: AsJson = False,
) -> None:
    """Compute days again from all their plays, with the current snapshots, KPI code and settings.

    Give the days, as after a correction of the catalogue, or --outdated.
    """
    if outdated == bool(first or last) or bool(first) != bool(last):
        raise typer.BadParameter("give --from and --to, or --outdated.")
    deployment = Deployment.find(environment)
    purge.refuse_while_purging(deployment)
    if first and last:
        dates = recompute.days_between(deployment, first.strftime(DAY), last.strftime(DAY))
    else:
        _, visible = read_days(deployment.ledger, deployment.kpi_table)
        dates = list(outdated_days(deployment, visible))
    days = recompute.recompute(deployment, dates, minutes=minutes, tell=_tell)
    if as_json:
        _print_json(days)
    elif not days:
        _say("No day is outdated: there is nothing to compute.")
    else:
        _print(show.days_tables(days))


@app.command("withdraw")
def withdraw_file(
    environment: Environment,
    key: Annotated[str, typer.Argument(help="The key in raw/streams/ that the file was uploaded to.")],
    version: Version = None,
    minutes: Minutes = 240,
    as_json: AsJson = False,
) -> None:
    """Take a streams file back: KPIs are computed as if it had never come.

    A play that another file has, too, stays. `restore` undoes it. Repeat the command if it is interrupted.
    """
    _change_withdrawal(environment, key, version, is_withdrawn=True, minutes=minutes, as_json=as_json)


@app.command("restore")
def restore_file(
    environment: Environment,
    key: Annotated[str, typer.Argument(help="The key of a withdrawn file.")],
    version: Version = None,
    minutes: Minutes = 240,
    as_json: AsJson = False,
) -> None:
    """Let a withdrawn file count again."""
    _change_withdrawal(environment, key, version, is_withdrawn=False, minutes=minutes, as_json=as_json)


def _change_withdrawal(
    environment: str, key: str, version: str | None, *, is_withdrawn: bool, minutes: float, as_json: bool
) -> None:
    deployment = Deployment.find(environment)
    purge.refuse_while_purging(deployment)
    find = withdrawals.find_to_withdraw if is_withdrawn else withdrawals.find_to_restore
    file = find(deployment, key, version)
    days = withdrawals.change_deployed(deployment, file, is_withdrawn=is_withdrawn, minutes=minutes, tell=_tell)
    if as_json:
        _print_json(days)
        return
    _say(f"{key} (version {file[1]}) is {'withdrawn' if is_withdrawn else 'restored'}")
    if days:
        _print(show.days_tables(days))
    else:
        _say("No day has been computed with it: there is nothing to compute.")


@app.command("files")
def show_files(
    environment: Environment,
    key: Annotated[str | None, typer.Argument(help="A key in raw/: every version of it.")] = None,
    status: Annotated[FileStatus | None, typer.Option("--status", help="The files of a status.")] = None,
    withdrawn: Annotated[bool, typer.Option("--withdrawn", help="The withdrawn files.")] = False,
    as_json: AsJson = False,
) -> None:
    """What became of the versions of a key, of the files of a status, or of the withdrawn files."""
    if sum((key is not None, status is not None, withdrawn)) != 1:
        raise typer.BadParameter("give a KEY, --status or --withdrawn.")
    deployment = Deployment.find(environment)
    if key is not None:
        heading, found = f"Versions of {key}, the first upload first", files.versions_of(deployment, key)
    elif status is not None:
        heading = f"Files {status}, the latest uploads first, {files.MOST_LISTED:,} at most, as key#version"
        found = files.with_status(deployment, status)
    else:
        heading, found = "Withdrawn files, as key#version", files.withdrawn_files(deployment)
    if as_json:
        _print_json(found)
    else:
        _print(show.files_tables(heading, found))


@app.command("collect")
def collect_leftovers(
    environment: Environment,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be deleted.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete what nobody reads any more from the lake: runs that were merged, and runs of dead jobs.

    No day, no computation under way and no redrive needs them.
    """
    deployment = Deployment.find(environment)
    purge.refuse_while_purging(deployment)
    by_kind = collect.counted(collect.leftovers(deployment))
    if as_json:
        _print_json(by_kind)
    else:
        _print([show.leftovers_table(by_kind)])
    runs = sum(count["runs"] for count in by_kind.values())
    if runs and not dry_run:
        _confirm(f"Delete {runs} runs of {deployment.bucket}, all versions, for good?", yes)
        _tell(f"Deleted {collect.delete_leftovers(deployment, collect.leftovers(deployment))} runs")


@app.command("purge-user")
def purge_user(
    environment: Environment,
    user_id: Annotated[str, typer.Argument(help="The id, or - to read it from standard input.")],
    yes: Yes = False,
    minutes: Minutes = 240,
    as_json: AsJson = False,
) -> None:
    """Remove a person from every file, every version and the lake, and compute the touched days anew.

    The pipe is paused meanwhile; uploads wait in the queue. If it is interrupted, repeat it with the same id.
    """
    user_id = sys.stdin.readline() if user_id == "-" else user_id
    if not user_id.strip():
        raise typer.BadParameter("the user id is empty.")
    deployment = Deployment.find(environment)
    if not yes:
        raise RefusedError(
            f"This removes a person's data from {deployment.bucket} for good, all versions included, and cannot be "
            "undone: repeat it with --yes."
        )
    removed = purge.purge_user(deployment, user_id, minutes=minutes, tell=_tell)
    if as_json:
        _print_json(removed)
    else:
        _print(show.removed_tables(removed))
    if removed.failed:
        raise purge.IncompleteError(
            f"{len(removed.failed)} object versions could not be purged and may hold the person still: their keys are "
            "listed with the reasons. Make them readable or delete them by hand, each with its version id, then repeat "
            "the command. Everything else is done, and nothing is paused by it."
        )


@app.command("kpis")
def show_kpis(
    environment: Environment,
    day: Annotated[datetime, typer.Option("--day", formats=[DAY], help="The day, in UTC.")],
    genre: Annotated[str | None, typer.Option("--genre", help="Only this genre.")] = None,
    hours: Annotated[bool, typer.Option("--hours", help="The hours, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """A day's KPIs, with the state of their computation."""
    rows = kpis.read_day(Deployment.find(environment), day.strftime(DAY), genre=genre, hours=hours)
    if as_json:
        _print_json(rows)
    else:
        _print(show.kpi_tables(rows))


def _confirm(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise RefusedError(f"{question} There is nobody to ask: repeat it with --yes.")
    if not typer.confirm(printable(question)):
        raise RefusedError("Nothing was done.")


def _print(parts: Iterable[RenderableType]) -> None:
    """Tables fit the terminal; lines are left to it, so that a long name can be copied as a whole."""
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, Text))


def _say(sentence: str) -> None:
    console.print(lines(sentence), soft_wrap=True)


def _tell(sentence: str) -> None:
    errors.print(lines(sentence), style="dim", soft_wrap=True)


def _fail(sentence: str, code: int) -> NoReturn:
    errors.print(lines(sentence), style="red", soft_wrap=True)
    sys.exit(code)


def _print_json(value: object) -> None:
    print(json_text(value))
