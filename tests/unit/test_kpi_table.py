"""What is written: only differences, SUMMARY last; what an answer of DynamoDB means."""

from __future__ import annotations

from decimal import Decimal

import pytest
from botocore.exceptions import ClientError

from glue_scripts.kpi_items import Item
from glue_scripts.kpi_table import changes, is_superseded, is_transient


def row(sort_key: str, claim: int = 1, **values: object) -> Item:
    return {"pk": "DAY#2024-06-25", "sk": sort_key, "claim": claim, "computed_at": f"at claim {claim}", **values}


def cancelled(*codes: str) -> ClientError:
    response = {
        "Error": {"Code": "TransactionCanceledException", "Message": ""},
        "CancellationReasons": [{"Code": code} for code in codes],
    }
    return ClientError(response, "TransactWriteItems")  # type: ignore[arg-type]


def test_rows_that_differ_in_bookkeeping_only_are_not_written() -> None:
    present = [row("GENRE#pop", listens=Decimal(3)), row("GENRE#rock", listens=1)]
    wanted = [row("GENRE#pop", 2, listens=3), row("GENRE#rock", 2, listens=2), row("SUMMARY", 2)]
    assert changes(present, wanted) == [{"Put": {"Item": wanted[1]}}, {"Put": {"Item": wanted[2]}}]


def test_rows_that_vanished_are_deleted_and_the_summary_is_last() -> None:
    actions = changes([row("ZZZ"), row("SUMMARY")], [row("SUMMARY", 2), row("GENRE#pop", 2)])
    assert [next(iter(action)) for action in actions] == ["Put", "Delete", "Put"]
    assert actions[1]["Delete"]["Key"] == {"pk": "DAY#2024-06-25", "sk": "ZZZ"}
    assert actions[2]["Put"]["Item"]["sk"] == "SUMMARY"


def test_a_day_without_plays_loses_all_its_rows() -> None:
    actions = changes([row("SUMMARY"), row("ZZZ")], [])
    assert [action["Delete"]["Key"]["sk"] for action in actions] == ["ZZZ", "SUMMARY"]


def test_only_the_failed_check_of_the_claim_means_superseded() -> None:
    assert is_superseded(cancelled("ConditionalCheckFailed", "None"))
    assert not is_superseded(cancelled("None", "ConditionalCheckFailed"))
    assert not is_superseded(cancelled("TransactionConflict", "None"))


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (cancelled("TransactionConflict", "None"), True),
        (cancelled("None", "ThrottlingError"), True),
        (cancelled("None", "ValidationError"), False),
        (cancelled("None", "ItemCollectionSizeLimitExceeded"), False),
        (ClientError({"Error": {"Code": "TransactionInProgressException"}}, "TransactWriteItems"), True),
        (ClientError({"Error": {"Code": "AccessDeniedException"}}, "TransactWriteItems"), False),
    ],
)
def test_conflicts_and_throttles_may_be_tried_again_and_nothing_else(error: ClientError, transient: bool) -> None:
    assert is_transient(error) is transient
