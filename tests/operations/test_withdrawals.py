"""`withdraw`, `restore` and `files`."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence

import pytest

from glue_scripts.file_days import FileDays
from glue_scripts.ledger import FileStatus
from glue_scripts.objects import file_name, json_line
from operations import withdrawals
from operations.journal import Journal
from operations.pending import PendingFiles
from operations.versions import versions
from tests.operations.conftest import DAY, World

KEY = "raw/streams/a.csv"
OTHER_DAY = "2024-06-26"


def accept(world: World, version_id: str, *dates: str, key: str = KEY, run: str = "run-1") -> None:
    """Does what the jobs do with a version of a file: it is accepted, and a run has plays of it."""
    world.receive(key, version_id, f"2024-06-2{version_id[-1]}T00:00:00Z")
    world.deployment.ledger.record_verdict(key, version_id, FileStatus.ACCEPTED, "arn:e", {})
    days = FileDays(file_name(key, version_id), run, dates)
    world.put(days.key, json_line(days.document()))


def told_of(world: World, *arguments: str) -> str:
    ended = world.run(*arguments)
    assert ended.exit_code == 0, ended.err
    return ended.out


def test_a_withdrawn_file_is_left_out_and_its_days_are_computed(world: World) -> None:
    accept(world, "v1", DAY, OTHER_DAY)
    for date in (DAY, OTHER_DAY):
        world.publish(date, "run-1")

    out = told_of(world, "withdraw", KEY)

    assert f"{KEY} (version v1) is withdrawn" in out
    assert world.computed == [[DAY, OTHER_DAY]]
    assert world.deployment.ledger.withdrawn_files() == {file_name(KEY, "v1")}
    for listing in (["status"], ["files", "--withdrawn"], ["files", KEY]):
        assert f"{KEY}#v1 ACCEPTED, uploaded 2024-06-21T00:00:00Z, withdrawn 20" in told_of(world, *listing)
    assert "not computed yet" not in told_of(world, "status")


def test_a_file_that_is_restored_counts_again(world: World) -> None:
    accept(world, "v1", DAY)
    world.publish(DAY, "run-1")
    told_of(world, "withdraw", KEY)

    out = told_of(world, "restore", KEY)

    assert f"{KEY} (version v1) is restored" in out
    assert world.computed == [[DAY], [DAY]]
    assert world.deployment.ledger.withdrawn_files() == frozenset()
    assert "Withdrawn files, as key#version: none." in told_of(world, "files", "--withdrawn")
    assert "restored 20" in told_of(world, "files", KEY)


def test_days_that_no_job_has_claimed_are_left_to_their_jobs(world: World) -> None:
    """The file is on its way: what claims its days later leaves it out."""
    accept(world, "v1", DAY, OTHER_DAY)
    world.publish(DAY, "run-1")
    told_of(world, "withdraw", KEY)
    assert world.computed == [[DAY]]


def test_the_days_of_every_run_that_has_the_file_are_computed(world: World) -> None:
    """Another execution with the file, whose rules were other ones, has found plays of another day."""
    accept(world, "v1", DAY)
    accept(world, "v1", OTHER_DAY, run="run-2")
    for date in (DAY, OTHER_DAY):
        world.publish(date, "run-1")
    told_of(world, "withdraw", KEY)
    assert world.computed == [[DAY, OTHER_DAY]]


def test_a_file_that_waits_in_raw_can_be_withdrawn_before_a_job_has_seen_it(world: World) -> None:
    version_id = world.put(KEY, b"user_id,track_id,listen_time\n")

    out = told_of(world, "withdraw", KEY)

    assert "No day has been computed with it: there is nothing to compute." in out
    assert world.deployment.ledger.withdrawn_files() == {file_name(KEY, version_id)}
    assert f"{KEY}#{version_id} not begun, uploaded unknown, withdrawn 20" in told_of(world, "files", "--withdrawn")


def test_a_command_that_ends_early_is_listed_and_can_be_repeated(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    accept(world, "v1", DAY)
    world.publish(DAY, "run-1")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(withdrawals, "recompute", interrupted)
        assert world.run("withdraw", KEY).exit_code == 130
    assert "its days not computed yet: repeat the command" in told_of(world, "status")

    told_of(world, "withdraw", KEY)

    assert world.computed == [[DAY]]
    assert "not computed yet" not in told_of(world, "status")


def test_of_several_versions_one_is_to_be_named(world: World) -> None:
    accept(world, "v1", DAY)
    accept(world, "v2", DAY)
    world.publish(DAY, "run-1")

    refused = world.run("withdraw", KEY)

    assert (refused.exit_code, world.computed) == (4, [])
    assert "has 2 versions: name one by --version" in refused.err
    told_of(world, "withdraw", KEY, "--version", "v1")
    assert world.deployment.ledger.withdrawn_files() == {file_name(KEY, "v1")}
    # Still two: the one that counts must not be withdrawn by a repeated command.
    assert world.run("withdraw", KEY).exit_code == 4
    told_of(world, "restore", KEY)
    assert world.deployment.ledger.withdrawn_files() == frozenset()


def rejected(world: World) -> None:
    world.receive(KEY, "v1")
    world.deployment.ledger.record_verdict(KEY, "v1", FileStatus.REJECTED, "arn:e", {})


def test_a_rejected_file_cannot_be_withdrawn(world: World) -> None:
    rejected(world)
    for arguments in (["withdraw", KEY], ["withdraw", KEY, "--version", "v1"]):
        ended = world.run(*arguments)
        assert (ended.exit_code, "of its plays count" in ended.err) == (4, True)
    assert world.deployment.ledger.withdrawals() == []


def test_beside_a_rejected_version_the_accepted_one_is_meant(world: World) -> None:
    rejected(world)
    accept(world, "v2", DAY)
    told_of(world, "withdraw", KEY)
    assert world.deployment.ledger.withdrawn_files() == {file_name(KEY, "v2")}


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["withdraw", KEY], 2, f"Neither the ledger nor raw/ has {KEY}"),
        (["withdraw", KEY, "--version", "v9"], 2, f"Neither the ledger nor raw/ has {KEY} (version v9)"),
        (["withdraw", "raw/songs/songs.csv"], 4, "is a songs file, which replaces the one before it as a whole"),
        (["withdraw", "archive/streams/a.csv"], 2, "is no key of a streams file: give the key in raw/streams/"),
        (["restore", KEY], 2, f"{KEY} is not withdrawn: `files --withdrawn` lists what is"),
        (["restore", KEY, "--version", "v9"], 2, f"{KEY} (version v9) is not withdrawn"),
        (["files"], 2, "give a KEY, --status or --withdrawn"),
        (["files", KEY, "--withdrawn"], 2, "give a KEY, --status or --withdrawn"),
        (["files", "--status", "LOST"], 2, "LOST"),
    ],
)
def test_what_cannot_be_meant_is_told_in_one_sentence(
    world: World, arguments: Sequence[str], exit_code: int, message: str
) -> None:
    ended = world.run(*arguments)
    assert (ended.exit_code, message in ended.err) == (exit_code, True), ended.err
    assert world.deployment.ledger.withdrawals() == []


def test_files_are_listed_by_key_and_by_status(world: World) -> None:
    accept(world, "v2", DAY)
    accept(world, "v1", DAY)
    world.receive("raw/streams/[red]b\x1b.csv", "v3")
    found = json.loads(told_of(world, "files", KEY, "--json"))
    assert [(file["version_id"], file["status"], file["is_withdrawn"]) for file in found] == [
        ("v1", "ACCEPTED", False),
        ("v2", "ACCEPTED", False),
    ]
    assert "raw/streams/[red]b\\x1b.csv#v3 RECEIVED" in told_of(world, "files", "--status", "RECEIVED")
    assert "none" in told_of(world, "files", "raw/streams/none.csv")


@pytest.mark.parametrize("command", ["withdraw", "restore", "collect"])
def test_nothing_is_withdrawn_restored_or_collected_while_a_purge_is_unfinished(world: World, command: str) -> None:
    Journal(world.deployment.ledger_table).open("hash", resume_pipe=True)
    ended = world.run(command, *([KEY] if command != "collect" else []))
    assert (ended.exit_code, "repeat its `purge-user` command first" in ended.err) == (4, True)


def test_a_file_that_a_purge_writes_in_place_of_a_withdrawn_one_is_withdrawn(world: World) -> None:
    """Its plays would count otherwise, under another version id."""
    world.put(KEY, b"user_id,track_id,listen_time\nann,t,2024-06-25 08:00:00\nbob,t,2024-06-25 08:00:00\n")
    told_of(world, "withdraw", KEY)
    pending = PendingFiles(world.deployment)
    (version,) = pending.oldest_first()

    pending.replace(version, io.BytesIO(b"user_id,track_id,listen_time\nbob,t,2024-06-25 08:00:00\n"))

    (successor,) = (version for version in versions(world.deployment, KEY) if not version.is_marker)
    assert file_name(KEY, successor.version_id) in world.deployment.ledger.withdrawn_files()
