"""The e-mail about rejected files: everything that whoever is on call needs, and bounded."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.golden_emails import assert_is_committed
from validators.reports import (
    MAX_FILES_IN_EMAIL,
    MAX_MESSAGE_BYTES,
    EmailSettings,
    JudgedFile,
    RejectedFile,
    Sample,
    in_words,
    rejection_email,
    shell_quoted,
)
from validators.results import RowCounts, RuleResult
from validators.rules import RULES, RULES_BY_ID, Severity

EXECUTION = "arn:aws:states:eu-west-1:123456789012:execution:music-kpi-prod-pipeline:5c1b7c1e-batch"
SETTINGS = EmailSettings(
    environment="prod",
    bucket="music-kpi-prod-data-123456789012-eu-west-1",
    error_days=365,
    runbook="https://wiki.example.com/music-kpi/runbook.html",
)
VERSION = "3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY"


def file(key: str, **judged: object) -> JudgedFile:
    about = {"size": 13_207, "etag": "e", "last_modified": "2024-06-26T02:13:45Z", "dataset": key.split("/")[1]}
    return JudgedFile(key=key, version_id=VERSION, **(about | judged))  # type: ignore[arg-type]


def rejected(judged: JudgedFile) -> RejectedFile:
    is_there = judged.last_modified is not None
    report = f"quality/reports/dataset={judged.dataset}/date=2024-06-26/5f0e9c41.json"
    return RejectedFile(judged, f"error/{judged.key}/{judged.version_id}" if is_there else None, report)


def email(*files: JudgedFile, accepted: int = 0, settings: EmailSettings = SETTINGS) -> dict[str, str]:
    return rejection_email(
        [rejected(one) for one in files], settings=settings, accepted=accepted, execution_arn=EXECUTION
    )


def result(rule_id: str, failed: int, *, success: bool = False) -> RuleResult:
    return RuleResult(RULES_BY_ID[rule_id], failed, success)


PLAYS = file(
    "raw/streams/plays_2024-06-25.csv",
    columns=3,
    counts=RowCounts(200, 117, 83),
    results=[result("bad_listen_time", 80), result("null_user_id", 1, success=True), result("long_user_id", 3)],
    samples={
        "bad_listen_time": [
            Sample(row=row, line=row, value=value)
            for row, value in ((3, "yesterday evening"), (5, "2024-06-31 17:43:00"), (7, "17:43"), (9, "17:44"))
        ],
        "null_user_id": [Sample(row=12, line=13)],
        "long_user_id": [Sample(row=20, line=21, value="us… (204 characters)")],
    },
    quarantine="s3://music-kpi-prod-data-123456789012-eu-west-1/quality/quarantine/streams/run=jr_9a/file=5f0e9c41/",
    data_docs="s3://music-kpi-prod-data-123456789012-eu-west-1/quality/data_docs/jr_9a/streams.html",
)
CATALOGUE = file("raw/songs/catalogue.csv", problem=("missing_column", "missing: track_genre; the header has: a, b"))
DELETED = file("raw/streams/gone.csv", last_modified=None, problem=("object_missing", "deleted before the batch ran"))
AWKWARD = file("raw/users/it's a\nuser.csv", problem=("no_rows", "the file is empty"), size=1)


@pytest.mark.parametrize(
    ("name", "files", "accepted"),
    [
        ("rejected_one_file", [PLAYS], 12),
        ("rejected_several_files", [CATALOGUE, DELETED, AWKWARD], 1),
        ("rejected_the_only_file", [CATALOGUE], 0),
    ],
)
def test_the_email_is_the_committed_one(name: str, files: Sequence[JudgedFile], accepted: int) -> None:
    assert_is_committed(name, email(*files, accepted=accepted))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("u-4711-amelie", "like 'x-9999-xxxxxx'"),
        ("4711", "like '9999'"),
        ("Amélie Müller", "like 'xxxxxx xxxxxx'"),
        ("2024-06-31 10:00:00", "'2024-06-31 10:00:00'"),
        ("2024-06-25T10:00:61Z", "'2024-06-25T10:00:61Z'"),
        ("ab… (90 characters)", "like 'xx… (90 characters)'"),
        ("31.12.2024", "'31.12.2024'"),
        ("  ", "listen_time is blank: '  '"),
    ],
)
def test_a_value_that_may_be_an_id_in_the_wrong_column_is_told_by_its_shape(value: str, shown: str) -> None:
    found = {"bad_listen_time": [Sample(row=3, line=3, value=value)]}
    judged = replace(PLAYS, results=[result("bad_listen_time", 80)], samples=found)
    assert f"line 3: {shown}\n" in email(judged)["message"]
    assert f"    line 3: {shown if value.isspace() else repr(value)}" in in_words(judged), "the report tells it"


@pytest.mark.parametrize("count", [1, 2, 100])
@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
def test_the_subject_is_what_sns_takes_and_begins_with_the_environment(count: int, environment: str) -> None:
    subject = email(*[CATALOGUE] * count, settings=replace(SETTINGS, environment=environment))["subject"]
    assert subject.startswith(f"[{environment}] ")
    assert len(subject) < 100
    assert subject.isascii()
    assert subject.isprintable()


def numbered(count: int, judged: JudgedFile = PLAYS) -> list[JudgedFile]:
    return [replace(judged, key=f"raw/streams/{n:03}.csv") for n in range(1, count + 1)]


def test_many_files_are_told_by_the_first_ones_and_the_names_of_the_others() -> None:
    message = email(*numbered(100))["message"]
    assert f"\n{MAX_FILES_IN_EMAIL}. raw/streams/{MAX_FILES_IN_EMAIL:03}.csv\n" in message
    assert f"And {100 - MAX_FILES_IN_EMAIL} more, each with the rules that reject it" in message
    for number in range(MAX_FILES_IN_EMAIL + 1, 101):
        assert f"\n{number}. raw/streams/{number:03}.csv: bad_listen_time, long_user_id" in message


@pytest.mark.parametrize("part", ["é\n", "\x1b", "\U000e0041", "'", "\\", "a"])
@pytest.mark.parametrize("judged", [PLAYS, CATALOGUE, DELETED])
def test_the_message_stays_below_its_bound_and_names_every_file_however_long_keys_are(
    part: str, judged: JudgedFile
) -> None:
    key = "raw/streams/" + part * ((1024 - len("raw/streams/999.csv")) // len(part.encode()))
    files = [replace(judged, key=f"{key}{n:03}.csv") for n in range(1, 101)]
    message = email(*files)["message"]
    assert len(message.encode()) <= MAX_MESSAGE_BYTES
    assert all(line.isprintable() for line in message.splitlines())
    assert [f"{n:03}.csv" in message for n in range(1, 101)] == [True] * 100


def test_a_file_that_breaks_many_rules_is_listed_by_the_first_of_them() -> None:
    rules = [result(rule.id, 9) for rule in RULES if rule.severity is Severity.QUARANTINE_ROW]
    message = email(*numbered(100, replace(PLAYS, results=rules)))["message"]
    assert "\n100. raw/streams/100.csv: malformed_row, null_user_id, long_user_id, …" in message
    assert len(message.encode()) <= MAX_MESSAGE_BYTES


def test_a_key_without_a_dataset_is_not_to_be_used_again() -> None:
    judged = file("raw/plays/a.csv", dataset=None, problem=("unknown_dataset", "the key begins with none of these"))
    message = email(judged)["message"]
    assert "Upload the file with another key, under the prefix of its dataset." in message
    assert "same key" not in message
    assert "operations replay" not in message


def test_control_characters_in_a_file_s_problem_are_shown_as_escapes() -> None:
    judged = replace(CATALOGUE, problem=("missing_column", "the header has: \x1b[31m\u202e"))
    assert "Rejected by missing_column: the header has: \\x1b[31m\\u202e." in email(judged)["message"]


def test_without_a_page_of_the_runbook_the_email_names_the_file_in_the_repository() -> None:
    message = email(CATALOGUE, settings=replace(SETTINGS, runbook="docs/runbook.md"))["message"]
    assert "docs/runbook.md#files-rejected" in message


def test_in_china_the_console_has_another_address() -> None:
    arn = EXECUTION.replace("arn:aws:", "arn:aws-cn:").replace("eu-west-1", "cn-north-1")
    message = rejection_email([rejected(PLAYS)], settings=SETTINGS, accepted=0, execution_arn=arn)["message"]
    assert "https://cn-north-1.console.amazonaws.cn/states/home?region=cn-north-1#/" in message


@pytest.mark.parametrize(
    "key",
    ["raw/streams/a.csv", "it's", "a b", "$(touch x)`y`", 'q"', "back\\slash'\n7", "é\x1b[0m\t", "'\\\n'"],
)
def test_a_key_in_a_command_is_one_word_of_one_line_and_the_very_key(key: str) -> None:
    quoted = shell_quoted(key)
    assert quoted.isprintable()
    assert subprocess.run(["bash", "-c", f"printf %s {quoted}"], capture_output=True, check=True).stdout == key.encode()
