"""Every input of the table through the validation job, in one batch: verdict, counts, report, ledger, quarantine."""

from __future__ import annotations

import pytest

from glue_scripts import names
from glue_scripts.objects import target_key
from tests.validation.bad_inputs import INPUTS, Input
from tests.validation.validation_job import JudgedBatch
from validators.reports import MAX_MESSAGE_BYTES


def named(name: str) -> Input:
    (found,) = [given for given in INPUTS if given.name == name]
    return found


def test_no_two_inputs_share_a_key() -> None:
    assert len({given.object_key for given in INPUTS}) == len({given.name for given in INPUTS}) == len(INPUTS)


@pytest.mark.parametrize("given", INPUTS, ids=lambda given: given.name)
def test_an_input_has_its_verdict(batch: JudgedBatch, given: Input) -> None:
    assert batch.outcome(given.object_key) == given.verdict
    if given.verdict == "skipped":
        assert given.object_key not in batch.reports
        return
    report = batch.reports[given.object_key]
    words = "\n".join(report["in_words"])
    assert (report["verdict"], tuple(report["rejected_by"])) == (given.verdict, given.rules), words
    assert (report["rows"], report["quarantined"] or 0) == (given.rows, given.quarantined), words
    if given.rows is not None:
        assert {rule["rule"]: rule["failed"] for rule in report["rules"] if rule["failed"]} == given.failed
    for told in given.says:
        assert told in words
    item = batch.ledger[given.object_key]
    assert (item["status"], tuple(item["rejected_by"])) == (given.verdict.upper(), given.rules)
    assert (given.object_key in batch.accepted) == (given.verdict == "accepted")
    assert sum(row["lines"] for row in batch.quarantined.get(given.object_key, [])) == given.quarantined


def test_what_tools_leave_beside_files_is_noted_in_the_ledger_and_left_alone(batch: JudgedBatch) -> None:
    reasons = {entry["key"]: entry["reason"] for entry in batch.verdict["skipped"]}
    assert reasons.keys() == {given.object_key for given in INPUTS if given.verdict == "skipped"}
    for key, reason in reasons.items():
        item = batch.ledger[key]
        assert (item["status"], f"{item['skipped_as']}, which stays where it is") == ("SKIPPED", reason)
        assert f". {key}\n" not in batch.email["message"]
    assert reasons["raw/streams/"] == reasons["raw/streams/marked"] == "a folder, which stays where it is"
    assert reasons["raw/streams/out/_SUCCESS"] == "a marker of a Spark or Hadoop job, which stays where it is"


def test_the_index_by_status_lists_every_file_also_a_version_that_was_gone(batch: JudgedBatch) -> None:
    """It lists what has a moment of upload; of a version that is gone S3 tells none."""
    assert named("an object that is gone").object_key in batch.ledger
    assert [key for key, item in batch.ledger.items() if not {"status", "uploaded_at"} <= item.keys()] == []


def test_the_copy_of_a_version_that_is_too_large_is_made_by_the_job(batch: JudgedBatch) -> None:
    key = named("an object over 5 GB").object_key
    (entry,) = [entry for entry in batch.verdict["rejected"] if entry["key"] == key]
    assert entry["copy"] == "made"
    assert batch.copied_to_error == {target_key(names.ERROR_PREFIX, key, entry["version_id"]): b"a lot"}


@pytest.mark.parametrize(
    ("name", "copy"),
    [
        ("an archived object", "none"),
        ("an object under a key of its sender", "none"),
        ("an object under a KMS key", "none"),
        ("an object that is gone", "none"),
        ("a prefix that is no dataset", "staged"),
    ],
)
def test_the_verdict_says_of_each_rejected_file_whether_there_is_a_copy(
    batch: JudgedBatch, name: str, copy: str
) -> None:
    (entry,) = [entry for entry in batch.verdict["rejected"] if entry["key"] == named(name).object_key]
    assert entry["copy"] == copy


def test_no_personal_value_is_in_the_reports_the_email_or_the_log(batch: JudgedBatch) -> None:
    assert "éééééé" not in "\n".join(
        line for key, report in batch.reports.items() if "long user" in key for line in report["in_words"]
    )
    first_row = "\n".join(batch.reports[named("no header").object_key]["in_words"])
    assert "u0" not in first_row
    told = [*batch.log.splitlines(), *batch.email["message"].splitlines()]
    assert [line for line in told if "éééééé" in line and "raw/" not in line] == [], "but for a file's key"


def test_the_email_stays_within_what_a_state_can_carry(batch: JudgedBatch) -> None:
    message = batch.email["message"]
    assert len(message.encode()) <= MAX_MESSAGE_BYTES
    assert f"{len(batch.verdict['rejected'])} of " in message
    assert " more, each with the rules that reject it" in message


def test_spark_does_not_warn_of_headers_that_are_as_they_should_be(batch: JudgedBatch) -> None:
    odd = sum(given.verdict != "skipped" and "column" in given.name for given in INPUTS)
    assert batch.log.count("CSV header does not conform to the schema") <= 4 * odd


def test_good_rows_keep_their_columns_whatever_their_order(batch: JudgedBatch) -> None:
    """Swapped ids would be unknown: no warning is in these reports."""
    for name in ("reordered columns", "columns in yet another order", "extra columns"):
        report = batch.reports[named(name).object_key]
        assert [rule["rule"] for rule in report["rules"] if rule["failed"]] == []
