"""The catalogue of rules: complete words, and tolerances that cannot be misspelled."""

from __future__ import annotations

from pathlib import Path

import pytest

from glue_scripts import names
from validators import document
from validators.rules import RULES, RuleError, Severity, check_tolerances, rules_of
from validators.schemas import REQUIRED_COLUMNS, dataset_of


def test_every_rule_has_its_own_id_and_says_what_must_hold_and_what_to_do() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)
    assert all(rule.meaning.endswith(".") and rule.fix.endswith(".") for rule in RULES)


def test_the_shared_names_hold_the_datasets_that_have_columns() -> None:
    assert tuple(REQUIRED_COLUMNS) == names.DATASETS
    assert {dataset_of(f"{names.RAW_PREFIX}{dataset}/a.csv") for dataset in names.DATASETS} == set(names.DATASETS)


def test_a_rule_about_a_column_holds_only_where_the_column_is() -> None:
    for rule in RULES:
        assert rule.column is None or all(rule.column in REQUIRED_COLUMNS[dataset] for dataset in rule.datasets)


def test_only_row_rules_tolerate_and_each_says_why() -> None:
    for rule in RULES:
        assert (rule.severity is Severity.QUARANTINE_ROW) == bool(rule.tolerance) == bool(rule.reason)


def test_a_tolerance_can_be_set_for_an_environment() -> None:
    rules = {rule.id: rule.tolerance for rule in rules_of("streams", Severity.QUARANTINE_ROW, {"bad_listen_time": 0.5})}
    assert rules["bad_listen_time"] == 0.5
    assert rules["null_user_id"] == 0.01


def test_the_page_of_the_rules_is_current() -> None:
    committed = (Path(__file__).parents[2] / "docs/rules.md").read_text("utf-8")
    assert committed == document.page(), "run: python -m validators.document > docs/rules.md"


@pytest.mark.parametrize("tolerances", [{"bad_time": 0.1}, {"missing_column": 0.1}, {"unknown_track": 0.1}])
def test_a_tolerance_of_what_is_no_row_rule_stops(tolerances: dict[str, float]) -> None:
    with pytest.raises(RuleError, match="no row rule"):
        check_tolerances(tolerances)


@pytest.mark.parametrize("tolerance", [-0.1, 1.1, float("nan"), True, "0.1", None])
def test_a_tolerance_that_is_no_share_stops(tolerance: object) -> None:
    with pytest.raises(RuleError, match="from 0 to 1"):
        check_tolerances({"bad_listen_time": tolerance})


@pytest.mark.parametrize(
    ("key", "dataset"),
    [
        ("raw/streams/a.csv", "streams"),
        ("raw/users/2024/06/a.csv", "users"),
        ("raw/plays/a.csv", None),
        ("raw/streams.csv", None),
        ("error/streams/a.csv", None),
    ],
)
def test_the_key_tells_the_dataset(key: str, dataset: str | None) -> None:
    assert dataset_of(key) == dataset
