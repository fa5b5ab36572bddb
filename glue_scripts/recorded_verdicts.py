"""Stores a verdict in attributes of the ledger and rebuilds it from them, so that reports show the recorded verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from validators.reports import JudgedFile
from validators.results import RowCounts, RuleResult
from validators.rules import RULES_BY_ID

REJECTED_BY: Final = "rejected_by"


def attributes_of(judged: JudgedFile) -> dict[str, Any]:
    """What the ledger keeps: rows in, valid, quarantined; failed rows by rule; why a file rule is broken.

    Args:
        judged: the file.
    """
    failed = {result.rule.id: result.failed for result in judged.results if result.failed}
    details = dict([judged.problem] if judged.problem else [])
    details |= {result.rule.id: result.detail for result in judged.results if result.detail}
    tolerances = {
        result.rule.id: str(result.rule.tolerance)
        for result in judged.results
        if result.rule.tolerance != RULES_BY_ID[result.rule.id].tolerance
    }
    counts = judged.counts
    return {
        REJECTED_BY: judged.reasons,
        "failed": failed,
        **({"details": details} if details else {}),
        **({"tolerances": tolerances} if tolerances else {}),
        **({"rows": counts.rows, "valid": counts.valid, "quarantined": counts.quarantined} if counts else {}),
    }


def as_recorded(judged: JudgedFile, recorded: Mapping[str, Any]) -> JudgedFile:
    """The file with the verdict that the ledger holds, where this run would judge otherwise.

    Two runs can judge differently: by another current snapshot, other tolerances, or another version of the rules.

    Args:
        judged: the file as this run judges it.
        recorded: what `attributes_of` gave, of any run.
    """
    if judged.reasons == list(recorded[REJECTED_BY]):
        return judged
    details = recorded.get("details", {})
    if "rows" not in recorded:
        ((rule_id, detail),) = details.items()
        return replace(judged, problem=(rule_id, detail), columns=None, counts=None, results=(), samples={})
    tolerances = recorded.get("tolerances", {})
    rule_ids = dict.fromkeys([*(result.rule.id for result in judged.results), *recorded["failed"]])
    results = [
        RuleResult(
            rule=replace(
                RULES_BY_ID[rule_id], tolerance=float(tolerances.get(rule_id, RULES_BY_ID[rule_id].tolerance))
            ),
            failed=int(recorded["failed"].get(rule_id, 0)),
            success=rule_id not in recorded[REJECTED_BY],
            detail=details.get(rule_id, ""),
        )
        for rule_id in rule_ids
    ]
    counts = RowCounts(int(recorded["rows"]), int(recorded["valid"]), int(recorded["quarantined"]))
    return replace(judged, problem=None, counts=counts, results=results)
