"""The protocol with one step taken out or two swapped: what random histories must find."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Final, NamedTuple

from glue_scripts import batch_record, kpi_batch, kpi_table, ledger, publication
from tests.exactness.simulation import Code


class Mutant(NamedTuple):
    """A change of the source: texts that occur once, and what stands in their place."""

    what: str
    module: ModuleType
    replacements: tuple[tuple[str, str], ...]

    def code(self) -> Code:
        """The code with this change.

        Raises:
            ValueError: the source has changed: a text to be replaced does not occur once.
        """
        source = Path(str(self.module.__file__)).read_text(encoding="utf-8")
        for old, new in self.replacements:
            if source.count(old) != 1:
                raise ValueError(f"{self.what}: occurs {source.count(old)} times in {self.module.__name__}: {old!r}")
            source = source.replace(old, new)
        changed = ModuleType(self.module.__name__)
        exec(compile(source, f"<{self.what}>", "exec"), changed.__dict__)
        return Code()._replace(**{self.module.__name__.rpartition(".")[2]: changed})


_LIST = """        self._table.update_item(
            Key={LEDGER_PARTITION_KEY: f"DAYS#{date[:4]}"},
            UpdateExpression="ADD dates :date",
            ExpressionAttributeValues={":date": {date}},
        )
"""
_CLAIM = "            claims = [self.ledger.claim_day(date, run) for date, run in waiting.items()]\n"
_TOMBSTONES = "            tombstones = self.ledger.purged_users()\n"
_SNAPSHOTS = (
    '            snapshots = {dataset: self.ledger.current_snapshot(dataset) for dataset in ("songs", "users")}\n'
)
_CLAIMED = 'return Claim(date=date, number=_integer(item["claim"]), runs=frozenset(_strings(item.get("runs", set()))))'
_CLAIMED_RUNS = '_strings(item.get("runs", set()))))\n\n    def dates'
_APPEND_LATE = """if run:
            self._table.update_item(
                Key={LEDGER_PARTITION_KEY: day_key(date)},
                UpdateExpression="ADD runs :run",
                ExpressionAttributeValues={":run": {run}},
            )
        runs = {*item.get("runs", set()), *([run] if run else [])}
        return Claim(date=date, number=_integer(item["claim"]), runs=frozenset(runs))"""
_MAKE_CURRENT = """            for snapshot in batch.snapshots:
                self._make_current(snapshot)
"""
_LOOK_UP = "dict.fromkeys(self.ledger.days_that_may_lack_tracks())\n"
_WAIT = "late = self._not_published_in_time(superseded)"
_ORDER = "[*puts, *deletes, *summary]"

_ADD = '        add = "ADD claim :one"'
_VERDICTS = "        with ThreadPoolExecutor(max_workers=PARALLEL_VERDICTS) as pool:\n"
_WRITE_FIRST = """        self._write(
            judgement.accepted for judgement in judgements.values() if judgement.status == FileStatus.ACCEPTED
        )
"""
_RECORDED = "            if verdict.status not in (_ACCEPTED if is_ours else _JOINED):"

MUTANTS: Final = (
    Mutant("the transaction does not check the claim", kpi_table, (("[check, *named]", "named"),)),
    Mutant(
        "the day is claimed before the run is appended",
        ledger,
        (
            ('(", runs :run" if run else "")', '""'),
            ('**({":run": {run}} if run else {})', "**{}"),
            (_CLAIMED, _APPEND_LATE),
        ),
    ),
    Mutant(
        "the runs are listed before the claim",
        ledger,
        (
            (_ADD, '        listed = self._get(day_key(date)).get("runs", set())\n' + _ADD),
            (_CLAIMED_RUNS, "{*listed, *([run] if run else [])}))\n\n    def dates"),
        ),
    ),
    Mutant("who is superseded ends at once", publication, ((_WAIT, "late: set[str] = set()"),)),
    Mutant("a claim that is not the latest is published", ledger, (('"claim = :claim"', '"claim >= :claim"'),)),
    Mutant("SUMMARY is written first", kpi_table, ((_ORDER, "[*summary, *puts, *deletes]"),)),
    Mutant("rows that vanished stay", kpi_table, ((_ORDER, "[*puts, *summary]"),)),
    Mutant("present rows are read from a replica that lags", kpi_table, (('Read": True', 'Read": False'),)),
    Mutant("rows are written unchanged", kpi_table, (("before.get(sort_key) != _comparable(item)", "True"),)),
    Mutant(
        "the tombstones are read before the claim",
        publication,
        ((_TOMBSTONES, ""), (_CLAIM, _TOMBSTONES + _CLAIM)),
    ),
    Mutant(
        "the snapshot pointers are read before the claim",
        publication,
        ((_SNAPSHOTS, ""), (_CLAIM, _SNAPSHOTS + _CLAIM)),
    ),
    Mutant("the day is listed after the claim", ledger, ((_LIST, ""), (_CLAIMED, _LIST.lstrip() + " " * 8 + _CLAIMED))),
    Mutant(
        "the days that lack tracks are looked up before the new catalogue is current",
        kpi_batch,
        ((_LOOK_UP, "lacking\n"), (_MAKE_CURRENT, "            lacking = " + _LOOK_UP + _MAKE_CURRENT)),
    ),
    Mutant(
        "a run is replaced without a look at what is there", ledger, (('"#runs = :before"', '":before = :before"'),)
    ),
    Mutant(
        "a run that was replaced is committed again",
        ledger,
        (
            (
                '            "attribute_not_exists(#replaced_by)",\n            {"#status"',
                '            "attribute_not_exists(nothing)",\n            {"#status"',
            ),
        ),
    ),
    Mutant(
        "the last run that records a batch decides",
        ledger,
        (('f"attribute_not_exists({LEDGER_PARTITION_KEY})"', '"attribute_not_exists(nothing)"'),),
    ),
    Mutant(
        "the last run that records a verdict decides",
        ledger,
        (
            (
                "FileStatus.ACCEPTED: (FileStatus.RECEIVED,)",
                "FileStatus.ACCEPTED: (FileStatus.RECEIVED, FileStatus.REJECTED)",
            ),
            (
                "FileStatus.REJECTED: (FileStatus.RECEIVED,)",
                "FileStatus.REJECTED: (FileStatus.RECEIVED, FileStatus.ACCEPTED)",
            ),
        ),
    ),
    Mutant("rows are written before the verdicts", batch_record, ((_VERDICTS, _WRITE_FIRST + _VERDICTS),)),
    Mutant(
        "the file's own verdict counts, and not the recorded one",
        batch_record,
        ((_RECORDED, "            if judgement.status != FileStatus.ACCEPTED:"),),
    ),
)
