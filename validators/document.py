"""Writes the rules as a page: `python -m validators.document > docs/rules.md`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from validators.rules import RULES, Rule, Severity
from validators.schemas import REQUIRED_COLUMNS, SNAPSHOT_DATASETS

_SECTIONS = {
    Severity.REJECT_FILE: (
        "File rules",
        "A file that breaks one is rejected: it goes to `error/` with its report, and nothing of it is counted.",
    ),
    Severity.QUARANTINE_ROW: (
        "Row rules",
        "A row that breaks one is left out and kept under `quality/quarantine/` with the rules it breaks. The file is "
        "rejected when more of its rows break a rule than are tolerated. The tolerance is a share of the file's rows, "
        "rounded down to whole rows; `tolerances` in `cdk.json` sets another one for an environment. A row that breaks "
        "a rule and goes over several lines counts as that many rows, for a stray quote swallows the rows below it.",
    ),
    Severity.WARN: ("Warnings", "These are counted in the report; they change nothing else."),
}


def page() -> str:
    """The page, Markdown."""
    parts = [
        "# What a valid file is",
        "Made of [validators/rules.py](../validators/rules.py) by `python -m validators.document > docs/rules.md`: "
        "change it there. Reports and e-mails take their words from the same place.",
        "A file is CSV (RFC 4180): UTF-8, with or without byte order mark, plain or gzipped whatever its name is, "
        "commas between fields, lines that all end alike (LF, CRLF or CR), and a header. Columns may stand in any "
        "order, and there may be more than these:",
        _table(("dataset", "columns", "a file is"), map(_dataset_row, REQUIRED_COLUMNS)),
        "An object that the S3 console makes as a folder (empty, its key ends with a slash) is no file: it is skipped "
        "and stays where it is.",
    ]
    for severity, (title, introduction) in _SECTIONS.items():
        rules = [rule for rule in RULES if rule.severity is severity]
        parts += [f"## {title}", introduction, _rules_table(rules, has_tolerance=severity is Severity.QUARANTINE_ROW)]
    return "\n\n".join(parts) + "\n"


def _dataset_row(dataset: str) -> tuple[str, ...]:
    columns = ", ".join(f"`{column}`" for column in REQUIRED_COLUMNS[dataset])
    kind = "a full snapshot, in place of the one before" if dataset in SNAPSHOT_DATASETS else "more plays"
    return f"`raw/{dataset}/`", columns, kind


def _rules_table(rules: Sequence[Rule], *, has_tolerance: bool) -> str:
    titles = ("rule", "holds in", "what must hold", "what to do")
    rows = [(f"`{rule.id}`", _holds_in(rule), rule.meaning, rule.fix) for rule in rules]
    if not has_tolerance:
        return _table(titles, rows)
    tolerances = [_percent(rule.tolerance) for rule in rules]
    table = _table((*titles, "tolerated"), [(*row, share) for row, share in zip(rows, tolerances, strict=True)])
    return f"{table}\n\nWhy this much is tolerated:\n\n{_reasons(rules)}"


def _reasons(rules: Iterable[Rule]) -> str:
    by_reason: dict[tuple[float, str], list[str]] = {}
    for rule in rules:
        by_reason.setdefault((rule.tolerance, rule.reason), []).append(f"`{rule.id}`")
    return "\n".join(
        f"- {_percent(tolerance)} for {', '.join(ids)}: {reason}" for (tolerance, reason), ids in by_reason.items()
    )


def _holds_in(rule: Rule) -> str:
    return "all" if set(rule.datasets) == set(REQUIRED_COLUMNS) else ", ".join(rule.datasets)


def _table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [titles, ("---",) * len(titles), *rows])


def _percent(share: float) -> str:
    return f"{share * 100:g} %"


if __name__ == "__main__":
    print(page(), end="")
