"""How files stand with the rules."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from validators.rules import Rule


@dataclass(frozen=True)
class RuleResult:
    """How one file stands with one rule.

    Attributes:
        rule: the rule, with the tolerance that held.
        failed: rows that break it; for a file rule 1 or 0.
        success: whether the file may pass.
        detail: of a broken file rule, what was found; otherwise empty.
    """

    rule: Rule
    failed: int
    success: bool
    detail: str = ""


@dataclass(frozen=True)
class RowCounts:
    """Rows of one file: all of them, those that break no row rule, and those that break at least one."""

    rows: int
    valid: int
    quarantined: int


def tolerated_rows(tolerance: float, rows: int) -> int:
    """How many of a file's rows may break a rule: exactly, because as floats 0.29 * 100 is less than 29."""
    return int(Decimal(str(tolerance)) * rows)
