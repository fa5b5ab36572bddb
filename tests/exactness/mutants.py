"""The protocol with one step taken out or two swapped: what random histories must find."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Final, NamedTuple

from glue_scripts import (
    batch_record,
    catalogue_days,
    kpi_batch,
    kpi_table,
    ledger,
    merging,
    publication,
    taken_batches,
)
from operations import collect, kpis, withdrawals
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


_COMMIT = """            for run in runs[date]:
                self.ledger.commit_run(date, run)
"""
_CLAIM = "            return self.ledger.claim_day(date)\n"
_VERSIONS = "            versions = list(pool.map(claim, runs))\n"
_RUNS = "            committed = list(pool.map(self.ledger.runs, runs))\n"
_TOMBSTONES = "            tombstones = self.ledger.purged_users()\n"
_SNAPSHOTS = (
    '            snapshots = {dataset: self.ledger.current_snapshot(dataset) for dataset in ("songs", "users")}\n'
)
_WRITE = "        self.kpi_table.write(_rows(claim, day))\n"
_FLIP = "        before = self.kpi_table.flip(_summary_row(claim, day, made_of))\n"
_COLLECT = "self.kpi_table.collect(claim.date, before)"
_IF_OLDER = '"attribute_not_exists(version) OR version < :version"'
_ADD_CLAIM = """        item = self._table.update_item(
            Key={LEDGER_PARTITION_KEY: _DAYS, LEDGER_SORT_KEY: date},
            UpdateExpression="ADD claim :one",
            ExpressionAttributeValues={":one": 1},
            ReturnValues="ALL_NEW",
        )["Attributes"]
"""
_LIST_LATE = """        self._table.update_item(
            Key={LEDGER_PARTITION_KEY: _DAYS, LEDGER_SORT_KEY: date},
            UpdateExpression="SET claim = :claim",
            ExpressionAttributeValues={":claim": item["claim"]},
        )
"""
_MAKE_CURRENT = """        for snapshot in own.snapshots:
            self._make_current(snapshot)
"""
_LOOK_UP = "days_to_compute(self.publisher, self.known_tracks)"
_TOGETHER = "_runs_by_day([own, *(each.batch for each in taken)])"
_PUBLISH = f"        days = self.publisher.publish({{**recompute, **{_TOGETHER}}})\n"
_MARK_TAKEN_LOADED = "        loaded = [file for each in taken for file in self._mark_loaded(each.files)]\n"
_WRITE_ROWS = "            written = self._write(accepted.values())\n"
_ROWS_TO_BE_WRITTEN = """            streams = [file for file in accepted.values() if file.dataset == "streams"]
            plays = [play for file in streams for play in self.writer.world.files[file.key, file.version_id].rows]
            dates = sorted({play.listen_time.strftime("%Y-%m-%d") for play in plays})
            written = Written(snapshots=[], dates=dates, size=1)
"""
_RECORD_BATCH = "                waiting_since=_waiting_since(accepted.values()),\n            )\n"
_COMMIT_NEW = """            if is_committed and new:
                self.commit_run(date, new)
"""
_RETURN_REPLACED = "            ):\n                return True\n"
_COMMIT_NEW_LATE = """            ):
                if is_committed and new:
                    self.commit_run(date, new)
                return True
"""
_VERDICTS = "        with ThreadPoolExecutor(max_workers=PARALLEL_VERDICTS) as pool:\n"
_COMMIT_ONCE = """                "SET committed_at = if_not_exists(committed_at, :now)",
                "attribute_not_exists(#replaced_by)",
"""
_COMMIT_AGAIN = """                "SET committed_at = :now REMOVE #replaced_by",
                "attribute_not_exists(nothing)",
"""
_WRITE_FIRST = """        self._write(
            judgement.accepted for judgement in judgements.values() if judgement.status == FileStatus.ACCEPTED
        )
"""
_WITHDRAWALS = "            withdrawn = self.ledger.withdrawn_files()\n"
_WITHDRAW = "    (ledger.withdraw_file if is_withdrawn else ledger.restore_file)(*file)\n"
_DATES = "    dates = set(dates_of_file(file_name(*file))).intersection(ledger.dates())\n"
_COMPUTE = "    compute(sorted(dates))\n"
_MERGE = "            lake.merge(claim.date, runs, merged, day.tombstones)\n"
_DROP_WITHDRAWN = """            withdrawn, stored = ledger.withdrawn_files(), lake.world.runs
            left = frozenset(row for row in stored[claim.date, merged] if row.file not in withdrawn)
            stored[claim.date, merged] = left
"""
_SWAP = "            is_merged = _swap(ledger, claim.date, runs, merged)\n"
_WRITE_MERGED_LATE = f"            lake.world.execution_of[merged] = None\n{_SWAP}"
_STILL_COUNTS = '"attribute_exists(committed_at) AND attribute_not_exists(replaced_by)"'
_RECORDED = "            if verdict.status not in (_ACCEPTED if is_ours else _JOINED):"

MUTANTS: Final = (
    Mutant(
        "a version is made visible before its rows are written", publication, ((_WRITE, ""), (_FLIP, _FLIP + _WRITE))
    ),
    Mutant(
        "an older version is made visible", kpi_table, ((_IF_OLDER, '"attribute_exists(pk) OR NOT pk = :version"'),)
    ),
    Mutant(
        "the day is claimed before the run is committed",
        publication,
        (
            (_COMMIT, ""),
            (_CLAIM, f"            number = self.ledger.claim_day(date)\n{_COMMIT}            return number\n"),
        ),
    ),
    Mutant("the runs are read before the claim", publication, ((_RUNS, ""), (_VERSIONS, _RUNS + _VERSIONS))),
    Mutant(
        "the tombstones are read before the claim",
        publication,
        ((_TOMBSTONES, ""), (_VERSIONS, _TOMBSTONES + _VERSIONS)),
    ),
    Mutant(
        "the snapshot pointers are read before the claim",
        publication,
        ((_SNAPSHOTS, ""), (_VERSIONS, _SNAPSHOTS + _VERSIONS)),
    ),
    Mutant("the keys of rows have no version", publication, (("genre_sort_key(claim.version,", "genre_sort_key(1,"),)),
    Mutant(
        "rows that somebody may still read are collected",
        publication,
        ((_COLLECT, _COLLECT.replace("before", "claim.version")),),
    ),
    Mutant(
        "the visible rows are collected",
        publication,
        ((_COLLECT, _COLLECT.replace("before", "claim.version + 1")),),
    ),
    Mutant(
        "rows are collected by the number of their version",
        publication,
        ((_COLLECT, _COLLECT.replace("before", "claim.version - 1")),),
    ),
    Mutant(
        "a day that has lost its last play loses its SUMMARY",
        publication,
        (
            (
                _FLIP,
                _FLIP + "        if day is None:\n"
                '            self.kpi_table._request([{"DeleteRequest": {"Key": summary_key(claim.date)}}])\n',
            ),
        ),
    ),
    Mutant("a reader trusts that it has found all rows", kpis, (('len(genres) == summary["genre_rows"]', "True"),)),
    Mutant(
        "a reader reads SUMMARY from a replica that lags",
        kpis,
        (("summary_key(date), ConsistentRead=True", "summary_key(date), ConsistentRead=False"),),
    ),
    Mutant(
        "the day is listed after it was claimed",
        ledger,
        ((_ADD_CLAIM, _ADD_CLAIM.replace("_DAYS", '"CLAIMS"') + _LIST_LATE),),
    ),
    Mutant(
        "the days that lack tracks are looked up before the new catalogue is current",
        kpi_batch,
        ((_LOOK_UP, "lacking"), (_MAKE_CURRENT, f"        lacking = {_LOOK_UP}\n" + _MAKE_CURRENT)),
    ),
    Mutant(
        "a catalogue leaves out days that are being computed",
        catalogue_days,
        (("due = set(unpublished(claimed, visible))", "due: set[str] = set()"),),
    ),
    Mutant(
        "a catalogue leaves out days with too many unknown tracks to list",
        catalogue_days,
        (("if tracks is None or not known.isdisjoint(tracks)", "if tracks and not known.isdisjoint(tracks)"),),
    ),
    Mutant(
        "files of a batch that was taken along count as loaded before their days are visible",
        kpi_batch,
        ((_MARK_TAKEN_LOADED, ""), (_PUBLISH, _MARK_TAKEN_LOADED + _PUBLISH)),
    ),
    Mutant(
        "files count as loaded before their days are visible",
        kpi_batch,
        ((_PUBLISH, "        self._mark_loaded(accepted.files)\n" + _PUBLISH),),
    ),
    Mutant("a run that follows one that died takes batches along", kpi_batch, ((" if is_first else []", ""),)),
    Mutant(
        "a batch is taken along whose plays nobody has read",
        taken_batches,
        (("files=reader.files(batch)", "files=[]"),),
    ),
    Mutant(
        "a batch waits to be taken along before its rows are written",
        batch_record,
        ((_WRITE_ROWS, _ROWS_TO_BE_WRITTEN), (_RECORD_BATCH, _RECORD_BATCH + _WRITE_ROWS)),
    ),
    Mutant(
        "a run is taken out before the one in its place is committed",
        ledger,
        ((_COMMIT_NEW, ""), (_RETURN_REPLACED, _COMMIT_NEW_LATE)),
    ),
    Mutant(
        "a run that was replaced is committed again",
        ledger,
        ((_COMMIT_ONCE, _COMMIT_AGAIN),),
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
    Mutant(
        "the withdrawals are read before the claim",
        publication,
        ((_WITHDRAWALS, ""), (_VERSIONS, _WITHDRAWALS + _VERSIONS)),
    ),
    Mutant(
        "a file is withdrawn after its days were computed",
        withdrawals,
        ((_WITHDRAW, ""), (_COMPUTE, _COMPUTE + _WITHDRAW)),
    ),
    Mutant(
        "the days of a file are looked up before it is withdrawn",
        withdrawals,
        ((_DATES, ""), (_WITHDRAW, _DATES + _WITHDRAW)),
    ),
    Mutant(
        "the status of a file decides whether its days are computed when it is withdrawn",
        withdrawals,
        (
            (
                _COMPUTE,
                "    if ledger.file_status_and_execution(*file)[0] in (FileStatus.LOADED, 'ARCHIVED'):\n    "
                + _COMPUTE,
            ),
        ),
    ),
    Mutant("a merged run loses the rows of withdrawn files", merging, ((_MERGE, _MERGE + _DROP_WITHDRAWN),)),
    Mutant(
        "a merged run leaves out users who were purged after its day was claimed",
        merging,
        ((_MERGE, _MERGE.replace("day.tombstones", "ledger.purged_users()")),),
    ),
    Mutant(
        "a merged run counts before it is written",
        merging,
        ((_MERGE, ""), (_SWAP, _WRITE_MERGED_LATE + _MERGE)),
    ),
    Mutant(
        "runs are merged that somebody has replaced meanwhile",
        ledger,
        ((_STILL_COUNTS, '"attribute_exists(committed_at)"'),),
    ),
    Mutant("runs that a redrive needs are collected", collect, ((" and not is_needed()", ""),)),
    Mutant(
        "merged runs are collected that a computation still reads",
        collect,
        (("        return not _is_recent(item.replaced_at, now)\n", "        return True\n"),),
    ),
    Mutant("rows are written before the verdicts", batch_record, ((_VERDICTS, _WRITE_FIRST + _VERDICTS),)),
    Mutant(
        "the file's own verdict counts, and not the recorded one",
        batch_record,
        ((_RECORDED, "            if judgement.status != FileStatus.ACCEPTED:"),),
    ),
)
