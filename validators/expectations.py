"""Great Expectations: whether files are accepted. It judges a table of measures, one row for each file of a dataset.

file               name of the file
rows, …            what was measured of it, and for each row rule how many rows break it, in a column of its name
tolerated_<rule>   how many rows may break the rule
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import great_expectations as gx
import pandas as pd
from great_expectations.checkpoint.checkpoint import Checkpoint
from great_expectations.core import (
    ExpectationSuite,
    ExpectationSuiteValidationResult,
    ExpectationValidationResult,
    ValidationDefinition,
)
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.expectations.core.expect_column_pair_values_a_to_be_greater_than_b import (
    ExpectColumnPairValuesAToBeGreaterThanB,
)
from great_expectations.expectations.core.expect_column_values_to_be_between import ExpectColumnValuesToBeBetween
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.metadata_types import FailureSeverity
from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
from great_expectations.render.view.view import DefaultJinjaPageView

from validators.judge import warnings_of
from validators.results import RowCounts, RuleResult, tolerated_rows
from validators.rules import Rule, Severity, rules_of
from validators.schemas import MAX_GENRES, MAX_GENRES_OF_TRACK

NO_ROWS: Final = "no_rows"
SNAPSHOT_SHRUNK: Final = "snapshot_shrunk"
TOO_MANY_GENRES: Final = "too_many_genres"
MINIMUM_SHARE_OF_SNAPSHOT: Final = 0.5

_ERROR_NAMES = re.compile(r"\b[A-Z]\w+(?:Exception|Error)\b")
_SEVERITIES = {
    Severity.REJECT_FILE: FailureSeverity.CRITICAL,
    Severity.QUARANTINE_ROW: FailureSeverity.CRITICAL,
    Severity.WARN: FailureSeverity.INFO,
}

Measures = Mapping[str, int]
"""Of a file: `rows`, `quarantined`, of songs `genres` and `genres_of_track`, and by rule id how many rows break it."""


class NotMeasuredError(RuntimeError):
    """A rule or a file has no measure. It must not count as followed."""


class ExpectationCrashedError(RuntimeError):
    """An expectation could not be evaluated. That is a failure of the job and no verdict about the data."""


@dataclass(frozen=True)
class SuiteResult:
    """What a suite says of the files of one dataset.

    Attributes:
        results: by file, one RuleResult for each rule of the suite.
        counts: by file, how many rows it has.
        data_docs: Great Expectations' own page of the run, HTML.
    """

    results: dict[str, list[RuleResult]]
    counts: dict[str, RowCounts]
    data_docs: str


def judge_measures(
    measures: Mapping[str, Measures],
    dataset: str,
    *,
    tolerances: Mapping[str, float],
    current_snapshot_rows: int,
    snapshots: Collection[str],
) -> SuiteResult:
    """Judges the files of a dataset by what was measured of them.

    Args:
        measures: by file.
        dataset: the dataset.
        tolerances: overrides by rule id.
        current_snapshot_rows: valid rows of the dataset's current snapshot, 0 where there is none.
        snapshots: the datasets (songs, users) whose ids are known. Only they give warnings of unknown ids.

    Raises:
        NotMeasuredError: a rule of the suite was not measured of a file.
        ExpectationCrashedError: an expectation raised instead of judging.
    """
    minimum_rows = {NO_ROWS: 1}
    if current_snapshot_rows:
        # Half of an odd number is rounded up: "by more than half" is what is rejected.
        minimum_rows[SNAPSHOT_SHRUNK] = -int(-current_snapshot_rows * MINIMUM_SHARE_OF_SNAPSHOT // 1)
    suite = expectation_suite(dataset, tolerances=tolerances, minimum_rows=minimum_rows, snapshots=snapshots)
    rules = _rules_of_suite(suite, dataset, tolerances)
    table = _table(measures, rules)
    result, data_docs = _run(suite, table)
    broken = _files_by_broken_rule(result)
    counts = {
        file: RowCounts(measured["rows"], measured["rows"] - measured["quarantined"], measured["quarantined"])
        for file, measured in measures.items()
    }
    return SuiteResult(
        results={
            file: [_rule_result(rule, file in broken[rule.id], measured, minimum_rows) for rule in rules]
            for file, measured in measures.items()
        },
        counts=counts,
        data_docs=data_docs,
    )


def expectation_suite(
    dataset: str, *, tolerances: Mapping[str, float], minimum_rows: Mapping[str, int], snapshots: Collection[str]
) -> ExpectationSuite:
    """The expectations of one dataset, each with the rule that it is of in its `meta`.

    Args:
        dataset: users, songs or streams.
        tolerances: overrides by rule id.
        minimum_rows: how many rows a file must have by the rules `no_rows` and `snapshot_shrunk`; the latter is left
            out where there is no snapshot yet.
        snapshots: the datasets (songs, users) whose ids are known.
    """
    file_rules = {rule.id: rule for rule in rules_of(dataset, Severity.REJECT_FILE)}
    expectations = [_at_least("rows", minimum_rows[NO_ROWS], file_rules[NO_ROWS])]
    if TOO_MANY_GENRES in file_rules:
        rule = file_rules[TOO_MANY_GENRES]
        expectations += [_at_most("genres", MAX_GENRES, rule), _at_most("genres_of_track", MAX_GENRES_OF_TRACK, rule)]
    expectations += map(_tolerated, rules_of(dataset, Severity.QUARANTINE_ROW, tolerances))
    expectations += [_at_most(rule.id, 0, rule) for rule in warnings_of(dataset, snapshots)]
    if SNAPSHOT_SHRUNK in minimum_rows:
        expectations.append(_at_least("rows", minimum_rows[SNAPSHOT_SHRUNK], file_rules[SNAPSHOT_SHRUNK]))
    return ExpectationSuite(name=dataset, expectations=expectations)


def _at_least(column: str, least: int, rule: Rule) -> Expectation:
    return ExpectColumnValuesToBeBetween(
        column=column, min_value=least, description=_words(rule), severity=_SEVERITIES[rule.severity], meta=_meta(rule)
    )


def _at_most(column: str, most: int, rule: Rule) -> Expectation:
    return ExpectColumnValuesToBeBetween(
        column=column, max_value=most, description=_words(rule), severity=_SEVERITIES[rule.severity], meta=_meta(rule)
    )


def _tolerated(rule: Rule) -> Expectation:
    return ExpectColumnPairValuesAToBeGreaterThanB(
        column_A=f"tolerated_{rule.id}",
        column_B=rule.id,
        or_equal=True,
        description=_words(rule),
        severity=_SEVERITIES[rule.severity],
        meta=_meta(rule),
    )


def _words(rule: Rule) -> str:
    return f"{rule.id}: {rule.meaning}" + (f" ({rule.tolerance:.2%})" if rule.tolerance else "")


def _meta(rule: Rule) -> dict[str, str]:
    return {"rule": rule.id, "severity": rule.severity.value}


def _rules_of_suite(suite: ExpectationSuite, dataset: str, tolerances: Mapping[str, float]) -> list[Rule]:
    """The rules that the suite judges, each once, in its order."""
    rules = {rule.id: rule for severity in Severity for rule in rules_of(dataset, severity, tolerances)}
    return [rules[rule_id] for rule_id in dict.fromkeys(map(_rule_of, suite.expectations))]


def _rule_of(expectation: Expectation) -> str:
    if expectation.meta is None:
        raise ExpectationCrashedError(f"An expectation of the suite does not say which rule it is of: {expectation}")
    return str(expectation.meta["rule"])


def _table(measures: Mapping[str, Measures], rules: Collection[Rule]) -> list[dict[str, object]]:
    """The table of measures, a row for each file."""
    rows = []
    for file, measured in measures.items():
        missing = sorted(rule.id for rule in rules if not measured.keys() >= _measures_for(rule))
        if missing:
            raise NotMeasuredError(f"The rules {', '.join(missing)} were not measured of a file.")
        tolerated = {
            f"tolerated_{rule.id}": tolerated_rows(rule.tolerance, measured["rows"])
            for rule in rules
            if rule.severity is Severity.QUARANTINE_ROW
        }
        rows.append({"file": file, **measured, **tolerated})
    return rows


def _measures_for(rule: Rule) -> set[str]:
    """What a rule is judged by. Great Expectations leaves out a file of which that is null."""
    if rule.id == TOO_MANY_GENRES:
        return {"genres", "genres_of_track"}
    return {"rows", "quarantined"} if rule.severity is Severity.REJECT_FILE else {rule.id}


def _run(suite: ExpectationSuite, table: list[dict[str, object]]) -> tuple[ExpectationSuiteValidationResult, str]:
    """Runs a suite over the table of measures; returns its result and its page."""
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    batch_definition = (
        context.data_sources.add_pandas("measures")
        .add_dataframe_asset(suite.name)
        .add_batch_definition_whole_dataframe("files")
    )
    definition = context.validation_definitions.add(
        ValidationDefinition(name=suite.name, data=batch_definition, suite=context.suites.add(suite))
    )
    checkpoint = context.checkpoints.add(
        Checkpoint(
            name=suite.name,
            validation_definitions=[definition],
            result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["file"]},
        )
    )
    outcome = checkpoint.run(batch_parameters={"dataframe": pd.DataFrame(table)})
    (result,) = outcome.run_results.values()
    _raise_if_crashed(result)
    if len(result.results) != len(suite.expectations):
        raise ExpectationCrashedError(
            f"Great Expectations has {len(result.results)} results of {len(suite.expectations)} expectations."
        )
    page = DefaultJinjaPageView().render(
        ValidationResultsPageRenderer(data_context=context).render(result)  # type: ignore[no-untyped-call]
    )
    return result, page


def _files_by_broken_rule(result: ExpectationSuiteValidationResult) -> Mapping[str, set[str]]:
    broken: defaultdict[str, set[str]] = defaultdict(set)
    for found in result.results:
        files = {str(entry["file"]) for entry in found.result["unexpected_index_list"] or []}
        if bool(files) == bool(found.success):
            raise ExpectationCrashedError(f"{_rule_id(found)}: {len(files)} files break it, success is {found.success}")
        broken[_rule_id(found)] |= files
    return broken


def _rule_result(rule: Rule, is_broken: bool, measured: Measures, minimum_rows: Mapping[str, int]) -> RuleResult:
    if rule.severity is Severity.REJECT_FILE:
        detail = _detail(rule.id, measured, minimum_rows) if is_broken else ""
        return RuleResult(rule=rule, failed=int(is_broken), success=not is_broken, detail=detail)
    return RuleResult(rule=rule, failed=measured[rule.id], success=rule.severity is Severity.WARN or not is_broken)


def _detail(rule_id: str, measured: Measures, minimum_rows: Mapping[str, int]) -> str:
    if rule_id == NO_ROWS:
        return "there is no row below the header"
    if rule_id == TOO_MANY_GENRES:
        return f"the file has {measured['genres']} genres, and one track has {measured['genres_of_track']} of them"
    rows, least = measured["rows"], minimum_rows[rule_id]
    return f"{rows} row{'s' if rows != 1 else ''}, where at least {least} are needed: half of the current snapshot's"


def _raise_if_crashed(result: ExpectationSuiteValidationResult) -> None:
    """A crashed expectation is reported by Great Expectations as `success=False`, like bad data: tell them apart."""
    for found in result.results:
        for crash in _crashes(found):
            names = dict.fromkeys(_ERROR_NAMES.findall(crash))
            # Only the names of the errors: their texts may quote a value.
            told = ", ".join(names) or "an error without a name"
            raise ExpectationCrashedError(f"the rule {_rule_id(found)} could not be evaluated: {told}")


def _crashes(found: ExpectationValidationResult) -> Iterator[str]:
    information = found.exception_info or {}
    for crash in [information] if "raised_exception" in information else information.values():
        if crash["raised_exception"]:
            yield f"{crash['exception_message']}\n{crash['exception_traceback']}"


def _rule_id(found: ExpectationValidationResult) -> str:
    meta = found.expectation_config.meta if found.expectation_config else None
    if not meta:
        raise ExpectationCrashedError("Great Expectations has a result that names no rule.")
    return str(meta["rule"])
