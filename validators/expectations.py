"""Great Expectations: the rules of a dataset as an expectation suite, run over all files of a batch at once.

One metric, `files.statistics`, makes one aggregation pass over the judged rows; each expectation judges one rule for
every file by it. Great Expectations resolves a metric once per run however many expectations ask for it, so that a
rule more or a file more costs no pass.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import great_expectations as gx
from great_expectations.checkpoint.checkpoint import Checkpoint
from great_expectations.core import (
    ExpectationSuite,
    ExpectationSuiteValidationResult,
    ExpectationValidationResult,
    ValidationDefinition,
)
from great_expectations.core.metric_domain_types import MetricDomainTypes
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.execution_engine.execution_engine import ExecutionEngine
from great_expectations.execution_engine.sparkdf_execution_engine import SparkDFExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation
from great_expectations.expectations.metadata_types import FailureSeverity
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider
from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
from great_expectations.render.view.view import DefaultJinjaPageView
from pyspark.sql import DataFrame

from validators.counts import GENRES, GENRES_OF_TRACK, WARNS_PREFIX, collect_counts
from validators.results import RowCounts, RuleResult, tolerated_rows
from validators.rules import RULES_BY_ID, Rule, Severity, rules_of
from validators.schemas import MAX_GENRES, MAX_GENRES_OF_TRACK

STATISTICS_METRIC = "files.statistics"
NO_ROWS = "no_rows"
SNAPSHOT_SHRUNK = "snapshot_shrunk"
TOO_MANY_GENRES = "too_many_genres"
MINIMUM_SHARE_OF_SNAPSHOT = 0.5

_ERROR_NAMES = re.compile(r"\b[A-Z]\w+(?:Exception|Error)\b|\[[A-Z][A-Z0-9_.]+\]")
"""Classes of Python and Java, and Spark's error classes."""

_SEVERITIES = {
    Severity.REJECT_FILE: FailureSeverity.CRITICAL,
    Severity.QUARANTINE_ROW: FailureSeverity.CRITICAL,
    Severity.WARN: FailureSeverity.INFO,
}


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


class FileStatistics(TableMetricProvider):
    """Per file: rows, quarantined and valid rows, and how many rows break each rule."""

    metric_name = STATISTICS_METRIC

    @metric_value(engine=SparkDFExecutionEngine)
    def _spark(
        cls,  # noqa: N805 - Great Expectations calls a metric function with its class
        execution_engine: SparkDFExecutionEngine,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any],
    ) -> dict[str, dict[str, int]]:
        counted, _, _ = execution_engine.get_compute_domain(metric_domain_kwargs, MetricDomainTypes.TABLE)
        return collect_counts(counted).statistics


class ExpectFilesToFollowRule(BatchExpectation):
    """Expects of every file of the batch that no more rows than tolerated break one rule.

    Args:
        rule_id: the rule.
        tolerance: the share of a file's rows that may break it, 0 to 1.
        files: the files of the batch; one without rows is not seen by Spark.
        minimum_rows: least number of valid rows of a file, for the rules `no_rows` and `snapshot_shrunk`.
    """

    rule_id: str
    tolerance: float = 0.0
    files: list[str]
    minimum_rows: int = 0

    metric_dependencies: ClassVar[tuple[str, ...]] = (STATISTICS_METRIC,)
    domain_keys: ClassVar[tuple[str, ...]] = ("batch_id",)
    success_keys: ClassVar[tuple[str, ...]] = ("rule_id", "tolerance", "files", "minimum_rows")
    args_keys: ClassVar[tuple[str, ...]] = ("rule_id", "tolerance", "files", "minimum_rows")

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: ExecutionEngine[Any] | None = None,
    ) -> dict[str, Any]:
        statistics: dict[str, dict[str, int]] = metrics[STATISTICS_METRIC]
        if not statistics.keys() <= set(self.files):
            raise NotMeasuredError("NotMeasuredError: rows were counted of a file that is not of the batch")
        details = {file: self._judge(statistics.get(file)) for file in self.files}
        good = sum(detail["success"] for detail in details.values())
        return {
            "success": good == len(details),
            "result": {"observed_value": f"{good} of {len(details)} files follow the rule", "details": details},
        }

    def _judge(self, counts: Mapping[str, int] | None) -> dict[str, Any]:
        """How a file stands with the rule; Spark counts nothing of a file without rows."""
        severity = RULES_BY_ID[self.rule_id].severity
        rows, valid = (counts["rows"], counts["valid"]) if counts else (0, 0)
        if severity is Severity.REJECT_FILE:
            success = self._is_followed(counts, rows, valid)
            failed = int(not success)
        else:
            failed = self._failed_rows(counts) if counts else 0
            success = severity is Severity.WARN or failed <= tolerated_rows(self.tolerance, rows)
        judged = {"rows": rows, "valid": valid, "quarantined": rows - valid, "failed": failed, "success": success}
        return judged | {"detail": "" if success else self._detail(counts or {}, rows, valid)}

    def _is_followed(self, counts: Mapping[str, int] | None, rows: int, valid: int) -> bool:
        """Whether a file follows a file rule."""
        if self.rule_id == TOO_MANY_GENRES:
            return not counts or (counts[GENRES] <= MAX_GENRES and counts[GENRES_OF_TRACK] <= MAX_GENRES_OF_TRACK)
        return (rows if self.rule_id == NO_ROWS else valid) >= self.minimum_rows

    def _failed_rows(self, counts: Mapping[str, int]) -> int:
        if self.rule_id not in counts:
            raise NotMeasuredError(f"NotMeasuredError: the rule {self.rule_id} was not measured")
        return counts[self.rule_id]

    def _detail(self, counts: Mapping[str, int], rows: int, valid: int) -> str:
        if self.rule_id == NO_ROWS:
            return "there is no row below the header"
        if self.rule_id == TOO_MANY_GENRES:
            return f"the file has {counts[GENRES]} genres, and one track has {counts[GENRES_OF_TRACK]} of them"
        if self.rule_id == SNAPSHOT_SHRUNK:
            cause = "; rows that break a rule are the cause, so mend them first" if rows >= self.minimum_rows else ""
            needed = f"where at least {self.minimum_rows} are needed: half of the current snapshot's"
            return f"{valid} good row{'s' if valid != 1 else ''}, {needed}{cause}"
        return ""


def judge_batch(
    counted: DataFrame,
    dataset: str,
    files: list[str],
    *,
    tolerances: Mapping[str, float],
    current_snapshot_rows: int,
) -> SuiteResult:
    """Runs the dataset's suite over all its files of the batch.

    Args:
        counted: what `count_rows` gives.
        dataset: the dataset.
        files: names of the files; Spark does not see one without rows.
        tolerances: overrides by rule id.
        current_snapshot_rows: valid rows of the dataset's current snapshot, 0 where there is none.
    """
    unknown = [name.removeprefix(WARNS_PREFIX) for name in counted.columns if name.startswith(WARNS_PREFIX)]
    suite = expectation_suite(
        dataset,
        files,
        tolerances=tolerances,
        current_snapshot_rows=current_snapshot_rows,
        warnings=("duplicate_rows", *unknown),
    )
    return run_suite(counted, suite, tolerances)


def expectation_suite(
    dataset: str,
    files: list[str],
    *,
    tolerances: Mapping[str, float],
    current_snapshot_rows: int,
    warnings: tuple[str, ...],
) -> ExpectationSuite:
    """The expectations of one dataset.

    Args:
        dataset: users, songs or streams.
        files: the files of the batch that are judged.
        tolerances: overrides by rule id.
        current_snapshot_rows: valid rows of the dataset's current snapshot; 0 where there is none.
        warnings: the warnings that can be told (a track is unknown only by a snapshot).
    """
    row_rules = rules_of(dataset, Severity.QUARANTINE_ROW, tolerances)
    counted_warnings = [rule for rule in rules_of(dataset, Severity.WARN) if rule.id in warnings]
    minimum_rows = {NO_ROWS: 1}
    if current_snapshot_rows:
        # Half of an odd number is rounded up: "by more than half" is what is rejected.
        minimum_rows[SNAPSHOT_SHRUNK] = -int(-current_snapshot_rows * MINIMUM_SHARE_OF_SNAPSHOT // 1)
    counted = (*minimum_rows, TOO_MANY_GENRES)
    file_rules = [rule for rule in rules_of(dataset, Severity.REJECT_FILE) if rule.id in counted]
    # Causes first: broken rows may be the reason why a snapshot has shrunk.
    rules = sorted((*file_rules, *row_rules, *counted_warnings), key=lambda rule: rule.id == SNAPSHOT_SHRUNK)
    return ExpectationSuite(
        name=dataset,
        expectations=[
            ExpectFilesToFollowRule(
                rule_id=rule.id,
                tolerance=rule.tolerance,
                files=files,
                minimum_rows=minimum_rows.get(rule.id, 0),
                description=f"{rule.id}: {rule.meaning}" + (f" ({rule.tolerance:.2%})" if rule.tolerance else ""),
                severity=_SEVERITIES[rule.severity],
                meta={"severity": rule.severity.value},
            )
            for rule in rules
        ],
    )


def run_suite(counted: DataFrame, suite: ExpectationSuite, tolerances: Mapping[str, float]) -> SuiteResult:
    """Runs a suite over the counted rows of its files.

    Raises:
        ExpectationCrashedError: an expectation raised instead of judging.
    """
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    batch_definition = (
        context.data_sources.add_spark("batch", persist=False)
        .add_dataframe_asset(suite.name)
        .add_batch_definition_whole_dataframe("files")
    )
    definition = context.validation_definitions.add(
        ValidationDefinition(name=suite.name, data=batch_definition, suite=context.suites.add(suite))
    )
    checkpoint = context.checkpoints.add(
        Checkpoint(name=suite.name, validation_definitions=[definition], result_format="COMPLETE")
    )
    outcome = checkpoint.run(batch_parameters={"dataframe": counted})
    (result,) = outcome.run_results.values()
    _raise_if_crashed(result)
    details = {
        found.expectation_config.kwargs["rule_id"]: found.result["details"]
        for found in result.results
        if found.expectation_config is not None
    }
    if missing := {expectation.configuration.kwargs["rule_id"] for expectation in suite.expectations} - details.keys():
        raise ExpectationCrashedError(f"Great Expectations has no result of the rules {', '.join(sorted(missing))}")
    rules = _rules_by_id(suite.name, tolerances)
    files: list[str] = list(details[NO_ROWS])
    return SuiteResult(
        results={
            file: [
                RuleResult(
                    rule=rules[rule_id], **{name: by_file[file][name] for name in ("failed", "success", "detail")}
                )
                for rule_id, by_file in details.items()
            ]
            for file in files
        },
        counts={
            file: RowCounts(**{name: details[NO_ROWS][file][name] for name in ("rows", "valid", "quarantined")})
            for file in files
        },
        data_docs=DefaultJinjaPageView().render(
            ValidationResultsPageRenderer(data_context=context).render(result)  # type: ignore[no-untyped-call]
        ),
    )


def _rules_by_id(dataset: str, tolerances: Mapping[str, float]) -> dict[str, Rule]:
    return {rule.id: rule for severity in Severity for rule in rules_of(dataset, severity, tolerances)}


def _raise_if_crashed(result: ExpectationSuiteValidationResult) -> None:
    """A crashed expectation is reported by Great Expectations as `success=False`, like bad data: tell them apart."""
    for found in result.results:
        information = found.exception_info or {}
        crashes = [information] if "raised_exception" in information else list(information.values())
        for crash in crashes:
            if crash["raised_exception"]:
                raise ExpectationCrashedError(_crash(found, str(crash["exception_message"])))


def _crash(found: ExpectationValidationResult, message: str) -> str:
    """Which rule could not be evaluated, and the names of the errors: their texts may quote a row's values."""
    rule = found.expectation_config.kwargs.get("rule_id") if found.expectation_config else None
    names = dict.fromkeys(name.strip("[]") for name in _ERROR_NAMES.findall(message))
    return f"the rule {rule} could not be evaluated: {', '.join(names) or 'an error without a name'}"
