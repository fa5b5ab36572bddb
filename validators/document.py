"""Writes the rules as a page: `python -m validators.document > docs/rules.md`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from validators.companion_files import COMPANION_FOLDERS, COMPANIONS, MIN_FILE_BYTES
from validators.rules import RULES, Rule, Severity
from validators.schemas import NULL, NULL_WORDS, REQUIRED_COLUMNS, SNAPSHOT_DATASETS

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


_READING = f"""\
- ASCII whitespace at both ends of a field does not count. Names keep it.
- A time without a zone is UTC. The fraction of a second is cut off.
- An empty field and `{NULL}` are null in every column.
- {", ".join(f"`{word}`" for word in NULL_WORDS)} are null in numbers, booleans, dates, names and \
countries; `NA` is null in numbers, booleans and dates only, because it is Namibia's code. As an id or a genre, each \
of these words is a value. A warning counts them in ids, genres and countries.
- Line breaks within a quoted field are text and stay as they are.
- A later row that equals the header is no row: files that are put together repeat it. A warning counts it."""


def page() -> str:
    """The page, Markdown."""
    parts = [
        "# What a valid file is",
        "Made of [validators/rules.py](../validators/rules.py) by `python -m validators.document > docs/rules.md`: "
        "change it there. Reports and e-mails take their words from the same place.",
        "A file is CSV (RFC 4180): UTF-8, with or without byte order mark, plain or gzipped under any name, commas "
        " between fields, and a header. Each line ends with LF, CRLF or CR. Columns may stand in any order, and "
        "there may be more than these:",
        _table(("dataset", "columns", "a file is"), map(_dataset_row, REQUIRED_COLUMNS)),
        "## Which file counts",
        _WHICH_COUNTS,
        "## How fields are read",
        _READING,
        "## Objects that are skipped",
        "Tools leave objects beside data files that hold no data. The ledger notes them with the status `SKIPPED`; "
        "they stay where they are, and nobody gets an e-mail. The list is in "
        "[validators/companion_files.py](../validators/companion_files.py). Any other object is judged as a file.",
        _table(("what", "by its key"), _skipped_rows()),
    ]
    for severity, (title, introduction) in _SECTIONS.items():
        rules = [rule for rule in RULES if rule.severity is severity]
        parts += [f"## {title}", introduction, _rules_table(rules, has_tolerance=severity is Severity.QUARANTINE_ROW)]
    return "\n\n".join(parts) + "\n"


def _skipped_rows() -> Iterable[tuple[str, str]]:
    yield (
        "a folder",
        f"it ends with `/`, and the object has less than {MIN_FILE_BYTES} bytes, which is no header; or any key, if "
        "the object is empty and of the content type `application/x-directory`",
    )
    for companions in COMPANIONS:
        patterns = ", ".join(f"`{pattern}`" for pattern in companions.patterns)
        yield companions.what, patterns + (" in any case" if companions.any_case else "")
    for folder, what in COMPANION_FOLDERS.items():
        yield what, f"`{folder}/` anywhere in it"


_WHICH_COUNTS = """\
- A users or songs file replaces the one before as a whole. Upload it in one piece, as gzip if it is large: a part of \
it would take the place of the whole. A part with less than half of the rows is rejected; nothing tells a larger one.
- Of two such files, the one that was uploaded later counts. S3 tells the time to the second. Of two uploads of one \
key in the same second, the later event of S3 counts, by its sequencer; of two keys, the greater one.
- A streams file adds plays and replaces none, also under the key of an earlier file. To take an accepted file back, \
withdraw it ([operations](operations.md#taking-a-file-back))."""


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
