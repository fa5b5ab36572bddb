"""The pipeline as far as exactness goes: uploads, executions, purges, on the real ledger, claim and writer code.

Spark is replaced by the oracle behind `Engine`, DynamoDB by `MemoryDynamoDB`, Step Functions by `Execution`. The world
watches every write and raises `LawBrokenError` when one of them must not be.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from types import ModuleType
from typing import Any, Final, NamedTuple

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
from glue_scripts.accepted_files import AcceptedFile, AcceptedFiles
from glue_scripts.batch_record import Judgement, Written
from glue_scripts.kpi_items import DayKpis
from glue_scripts.ledger import Batch, Claim, FileStatus, Snapshot, Tombstones, file_key
from glue_scripts.names import (
    STATUS_INDEX,
    STATUS_INDEX_PARTITION_KEY,
    STATUS_INDEX_SORT_KEY,
    is_marker,
    unknown_tracks_key,
)
from glue_scripts.objects import file_name
from glue_scripts.publication import Snapshots
from glue_scripts.taken_batches import UnreadableBatchError
from operations import collect, kpis, withdrawals
from tests import oracle
from tests.day_kpis import days_of, without
from tests.exactness.actors import Actor, CrashError
from tests.exactness.memory_dynamodb import Key, MemoryDynamoDB, MemoryTable, stored_value
from tests.oracle import Play, Song, User

TOP_SONGS: Final = 2
TOP_GENRES: Final = 2
MAX_UNKNOWN_TRACKS: Final = 1
MADE_WITH: Final = {"kpi_code": "code", "kpi_settings": {"top_songs": TOP_SONGS, "top_genres": TOP_GENRES}}
MAX_STEPS: Final = 20_000
MAX_REDRIVES: Final = 30


class LawBrokenError(AssertionError):
    """Something happened that must not happen under any history."""


class Code(NamedTuple):
    """The code under test: modules, of which a mutation test replaces one."""

    ledger: ModuleType = ledger
    kpi_table: ModuleType = kpi_table
    publication: ModuleType = publication
    kpi_batch: ModuleType = kpi_batch
    batch_record: ModuleType = batch_record
    catalogue_days: ModuleType = catalogue_days
    taken_batches: ModuleType = taken_batches
    merging: ModuleType = merging
    kpis: ModuleType = kpis
    withdrawals: ModuleType = withdrawals
    collect: ModuleType = collect


class InTurn:
    """A pool that does one thing after another: of a job, one step is under way at a time."""

    def __init__(self, max_workers: int) -> None:
        pass

    def __enter__(self) -> InTurn:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(self, function: Callable[[Any], Any], arguments: Iterable[Any]) -> Iterator[Any]:
        return iter([function(argument) for argument in arguments])


@contextmanager
def small_numbers(code: Code) -> Iterator[None]:
    """Few writes a request and few days at once: small histories meet every limit. Modules use those under test."""
    settings = [
        (code.kpi_table, "MAX_WRITES", 2),
        (code.publication, "MAX_DAYS_AT_ONCE", 2),
        (code.kpi_table, "ThreadPoolExecutor", InTurn),
        (code.publication, "ThreadPoolExecutor", InTurn),
        (code.taken_batches, "MAX_DAYS_AT_ONCE", 2),
        (code.kpi_batch, "take_along", code.taken_batches.take_along),
        (code.kpi_batch, "days_to_compute", code.catalogue_days.days_to_compute),
        (code.batch_record, "ThreadPoolExecutor", InTurn),
        (code.merging, "MANY_RUNS", 2),
        (code.merging, "MAX_RUNS_MERGED", 3),
    ]
    before = [(module, name, getattr(module, name)) for module, name, _ in settings]
    for module, name, value in settings:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


class FileVersion(NamedTuple):
    """An uploaded object version; `is_valid` is None where one run of the job accepts it and the next one does not."""

    key: str
    version_id: str
    dataset: str
    rows: tuple[Any, ...]
    is_valid: bool | None

    @property
    def identity(self) -> tuple[str, str]:
        return self.key, self.version_id


@dataclass(eq=False)  # two that look alike are two
class Execution:
    """A batch on its way through the state machine; a redrive resumes at the state that it had come to."""

    arn: str
    files: tuple[FileVersion, ...]
    recompute: tuple[str, ...] = ()
    state: str = "validate"
    actor: Actor | None = None
    accepted: list[FileVersion] = field(default_factory=list)
    purged_before: frozenset[str] = frozenset()


@dataclass(eq=False)
class Purge:
    """An operator's purge of a user; run again from the start after a crash."""

    user_id: str
    state: str = "purge"
    actor: Actor | None = None


@dataclass(eq=False)
class Withdrawing:
    """An operator's command that withdraws or restores a file; run again from the start after a crash."""

    file: FileVersion
    is_withdrawn: bool
    state: str = "withdraw"
    actor: Actor | None = None


@dataclass(eq=False)
class Collecting:
    """An operator's command that deletes what nobody reads any more; run again from the start after a crash."""

    state: str = "collect"
    actor: Actor | None = None


@dataclass(eq=False)
class Zombie:
    """A job that was given up for dead and goes on: its execution goes on without it."""

    actor: Actor | None

    @property
    def state(self) -> str:
        return "zombie" if self.actor else "finished"


@dataclass(eq=False)
class Reading:
    """A reader of a day; it reads once and is then finished."""

    date: str
    actor: Actor | None = None
    state: str = "reading"


Work = Execution | Purge | Withdrawing | Collecting | Zombie | Reading


class Stored(NamedTuple):
    """A row of the lake."""

    play: Play
    file: str


class Effective(NamedTuple):
    """What had taken effect when a day was claimed, and what the claim's rows must therefore hold."""

    plays: frozenset[Stored]
    purged: frozenset[str]
    withdrawn: frozenset[str]
    withdrawals: int
    catalogues: int
    claimant: object


class World:
    """Everything that outlives a job, and the checks of every write.

    Args:
        code: the code under test.
        throttle_every: DynamoDB leaves out one in so many writes of a batch; 0 for none.
        unreadable_every: one in so many batches that a job wants to take along cannot be read; 0 for none.
    """

    def __init__(self, code: Code, throttle_every: int = 0, unreadable_every: int = 0) -> None:
        self.code = code
        keys = ("pk", "sk")
        self.database = MemoryDynamoDB(
            {"ledger": keys, "kpis": keys},
            {STATUS_INDEX: (STATUS_INDEX_PARTITION_KEY, STATUS_INDEX_SORT_KEY)},
            written=self._written,
            page_size=1,
        )
        self.ledger = code.ledger.Ledger(self.database.table("ledger"))
        self.files: dict[tuple[str, str], FileVersion] = {}
        self.raw: set[tuple[str, str]] = set()
        self.archive: set[tuple[str, str]] = set()
        self.error: set[tuple[str, str]] = set()
        self.runs: dict[tuple[str, str], frozenset[Stored]] = {}
        self.written_runs: set[tuple[str, str]] = set()
        self.writer_of: dict[tuple[str, str], Actor] = {}
        self.dates_of_file: dict[str, set[str]] = {}
        self.merged: dict[tuple[str, str], int] = {}
        self.collected: set[tuple[str, str]] = set()
        self.replaced_at: dict[tuple[str, str], int] = {}
        self.withdrawals: list[str] = []
        self.withdrawn: set[str] = set()
        self.snapshots: dict[str, tuple[Any, ...]] = {}
        self.computed: dict[tuple[str, int], DayKpis | None] = {}
        self.plays_of_version: dict[tuple[str, int], frozenset[Play]] = {}
        self.rows_of_version: dict[tuple[str, int], frozenset[Stored]] = {}
        self.execution_of: dict[str, str | None] = {}
        self.documents: dict[str, tuple[FileVersion, ...]] = {}
        self.execution_of_job: dict[Actor, str] = {}
        self.began: dict[Actor, int] = {}
        self.actor_of_job: dict[str, Actor] = {}
        self.first_job: dict[str, object] = {}
        self.read_by: set[tuple[object, str]] = set()
        self.visible_before: dict[str, int] = {}
        self.effective: dict[tuple[str, int], Effective] = {}
        self.catalogues: list[str] = []
        self.purged: set[str] = set()
        self.journals: dict[str, set[str]] = {}
        self.work: list[Work] = []
        self.last_failure: BaseException | None = None
        self.acting: object = None
        self._throttle_every = throttle_every
        self._unreadable_every = unreadable_every
        self._numbers: dict[str, int] = {}

    def number(self, kind: str) -> int:
        """Counts 1, 2, 3… for each kind of thing."""
        self._numbers[kind] = self._numbers.get(kind, 0) + 1
        return self._numbers[kind]

    # What happens

    def upload(self, key: str, dataset: str, rows: Sequence[Any], *, is_valid: bool | None = True) -> FileVersion:
        """A new object version in raw/; uploads are a second apart."""
        file = FileVersion(key, f"v{self.number('version'):04}", dataset, tuple(rows), is_valid)
        self.files[file.identity] = file
        self.raw.add(file.identity)
        return file

    def execution(self, *files: FileVersion, recompute: Sequence[str] = ()) -> Execution:
        """A batch, or days to compute."""
        arn = f"execution-{self.number('execution')}"
        return Execution(arn, files, tuple(recompute), state="compute" if recompute else "validate")

    def begin(self, work: Execution | Purge | Withdrawing | Collecting | Reading) -> None:
        """Starts something, or starts it again after a crash or failure."""
        if work not in self.work:
            self.work.append(work)

        def run(actor: Actor) -> None:
            if isinstance(work, Purge):
                PurgeJob(self, actor).run(work)
            elif isinstance(work, Withdrawing):
                WithdrawalCommand(self, actor).run(work)
            elif isinstance(work, Collecting):
                CollectCommand(self, actor).run(work)
            elif isinstance(work, Reading):
                self._read(actor, work)
            else:
                ExecutionJob(self, actor).run(work)

        work.actor = Actor(run)
        self.began[work.actor] = self.number("moment")
        if isinstance(work, Execution):
            self.execution_of_job[work.actor] = work.arn

    def write_run(self, date: str, run: str, rows: frozenset[Stored], writer: Actor) -> None:
        """Stores a run of a day."""
        self.runs[date, run] = rows
        self.written_runs.add((date, run))
        self.writer_of[date, run] = writer

    def can_read(self) -> bool:
        """Whether the batch that a job wants to take along can be read."""
        return not self._unreadable_every or self.number("read of a batch") % self._unreadable_every != 0

    def give_up(self, execution: Execution) -> None:
        """Takes the job of an execution for dead: it goes on, and the execution can be begun again."""
        self.work.append(Zombie(execution.actor))
        execution.actor = None

    def advance(self, work: Work, steps: int, stop_before: str = "") -> None:
        """Lets it go on; what it breaks is raised here."""
        if work.actor:
            self.acting = work.actor
            work.actor.advance(steps, stop_before)
            if work.actor.is_finished:
                error, work.actor = work.actor.error, None
                if isinstance(error, LawBrokenError):
                    raise error
                if error and not isinstance(error, JobFailedError):
                    raise error
                self.last_failure = error or self.last_failure

    def crash(self, work: Work) -> None:
        """Kills it before its next step."""
        if work.actor:
            self.acting = work.actor
            work.actor.kill()
            error, work.actor = work.actor.error, None
            if error and not isinstance(error, CrashError):
                raise error

    def come_to_rest(self) -> None:
        """Lets everything under way end, and redrives what failed until nothing is left to do."""
        for _ in range(MAX_REDRIVES):
            unfinished = [work for work in self.work if work.state != "finished"]
            if not unfinished:
                return
            for work in unfinished:
                if work.actor is None and not isinstance(work, Zombie):
                    self.begin(work)
            steps = 0
            while any(work.actor for work in unfinished):
                for work in unfinished:
                    self.advance(work, 7)
                steps += 1
                if steps > MAX_STEPS:
                    raise LawBrokenError("something never ends")
        raise LawBrokenError(f"redriven again and again, and not finished: {self.last_failure}")

    def close(self) -> None:
        """Ends every thread."""
        for work in self.work:
            if work.actor:
                work.actor.kill()
                work.actor = None

    # What must hold

    def summary(self, date: str) -> Mapping[str, Any]:
        """What readers see of a day at this moment."""
        return self.database.stored["kpis"].items.get((f"DAY#{date}", "SUMMARY"), {})

    def visible(self, date: str) -> int:
        """The version that readers see; 0 where there is none."""
        return int(self.summary(date).get("version", 0))

    def rows(self, date: str, version: int) -> dict[str, dict[str, Any]]:
        """The rows of a version of a day, by genre."""
        items = self.database.stored["kpis"].items
        return {sk: item for (pk, sk), item in items.items() if pk == f"DAY#{date}" and version_of(sk) == version}

    def acting_jobs(self) -> list[Actor]:
        """Everything that is under way."""
        return [work.actor for work in self.work if work.actor]

    def accepted_plays(self) -> frozenset[Play]:
        """Every play of every accepted file that is not withdrawn, without those of purged users."""
        files = (self.files[identity] for identity in self.archive if file_name(*identity) not in self.withdrawn)
        plays = (play for file in files for play in self._streams(file))
        return frozenset(play for play in plays if play.user_id not in self.purged)

    def check_at_rest(self) -> None:
        """The law, once everything has ended.

        Raises:
            LawBrokenError: it does not hold.
        """
        plays = self.accepted_plays()
        dates = {date_of(play) for play in plays}
        listed = set(self.ledger.dates())
        _require(dates <= listed, f"days missing in the ledger: {dates - listed}")
        with_rows = {date for date in listed if not is_marker(self.summary(date))}
        _require(with_rows == dates, f"rows of {with_rows}, plays of {dates}")
        for date in sorted(listed):
            self._check_day_at_rest(date, frozenset(play for play in plays if date_of(play) == date))
        for identity, file in self.files.items():
            if identity in self.raw:
                continue
            place = (identity in self.archive, identity in self.error)
            _require(place in ((True, False), (False, True)), f"{identity} is in archive/, error/: {place}")
            _require(file.is_valid in (None, place[0]), f"{identity} is in archive/, error/: {place}")
            status = self.ledger.file_status_and_execution(*identity)[0]
            _require(status == ("ARCHIVED" if place[0] else "REJECTED"), f"{identity} is {status}")

    def _check_day_at_rest(self, date: str, plays: frozenset[Play]) -> None:
        summary, version = self.summary(date), self.visible(date)
        songs = self.snapshots.get(str(summary.get("songs_snapshot")), ())
        users = self.snapshots.get(str(summary.get("users_snapshot")), ())
        self._check_complete(date, version, summary, day_of(plays, songs, users))
        lacking = unknown_tracks(plays, songs)
        if lacking and self.catalogues:
            current = self.catalogues[-1]
            known = lacking & {song.track_id for song in self.snapshots[current]}
            _require(not known, f"{date} lacks {known}, which the current catalogue {current} knows")

    def check_visible(self, execution: Execution) -> None:
        """Called when the KPI job of an execution ends well: its plays are visible."""
        for date in self.ledger.dates() if any(file.dataset == "songs" for file in execution.accepted) else ():
            newest = max(file.version_id for file in execution.accepted if file.dataset == "songs")
            lacking = unknown_tracks(
                self.plays_of_version.get((date, self.visible(date)), frozenset()),
                self.snapshots.get(str(self.summary(date).get("songs_snapshot")), ()),
            )
            # Another catalogue may have become the current one before the job looked which tracks it knows.
            since = [uri for uri in self.catalogues if self.snapshots_rank(uri) >= newest]
            missed = [lacking & {song.track_id for song in self.snapshots[uri]} for uri in since]
            _require(not missed or not all(missed), f"the catalogue {newest} is loaded, and {date} lacks {missed}")
        for file in execution.accepted:
            self._check_plays_visible(file)

    def _check_plays_visible(self, file: FileVersion) -> None:
        if file_name(*file.identity) in self.withdrawals:
            return
        for play in self._streams(file):
            seen = self.plays_of_version.get((date_of(play), self.visible(date_of(play))), frozenset())
            is_there = play in seen or play.user_id in self.purged
            _require(is_there, f"{file} is loaded and {play} is not visible")

    def snapshots_rank(self, uri: str | None) -> str:
        """The version of the file that a snapshot was made of; less than any for none."""
        return uri.rpartition("#")[2] if uri else ""

    def _streams(self, file: FileVersion) -> tuple[Play, ...]:
        return file.rows if file.dataset == "streams" else ()

    # Every write

    def _written(self, table: str, key: Key, before: Any, after: Any) -> None:  # noqa: ANN401 - items
        partition, sort_key = key
        if table == "kpis":
            self._check_kpis(partition.removeprefix("DAY#"), sort_key, before, after)
        elif partition == "DAYS":
            self._check_day(sort_key, before or {}, after)
        elif partition.startswith("RUNS#"):
            self._check_run(partition.removeprefix("RUNS#"), sort_key, before or {}, after)
        elif key == ("SNAPSHOTS", "songs"):
            self.catalogues.append(after["uri"])
        elif partition == "WITHDRAWN":
            self._note_withdrawal(sort_key, is_withdrawn=after["is_withdrawn"])
        elif sort_key == "BATCH":
            self._check_batch(partition.removeprefix("BATCH#"), before or {}, after)
        elif partition.startswith("FILE#") and after["status"] == "LOADED" != (before or {}).get("status"):
            self._check_plays_visible(self.files[partition.removeprefix("FILE#"), sort_key])

    def _note_withdrawal(self, file: str, *, is_withdrawn: bool) -> None:
        if is_withdrawn != (file in self.withdrawn):
            self.withdrawals.append(file)
        (self.withdrawn.add if is_withdrawn else self.withdrawn.discard)(file)

    def _check_batch(self, execution: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        if not before:
            missing = [date for date in after["dates"] if (date, after["run"]) not in self.written_runs]
            _require(not missing, f"the batch of {execution} is recorded, and its plays of {missing} are not written")
        if "begun_by" in after and "begun_by" not in before:
            self.first_job[execution] = self.acting

    def _check_day(self, date: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        claim, published = int(after["claim"]), int(after.get("published", 0))
        _require(before.get("published", 0) <= published <= self.visible(date), f"{date} is not at {published}")
        if "published" in after and claim == before.get("claim"):
            return
        _require(claim == before.get("claim", 0) + 1, f"{date} was claimed as {claim} after {before.get('claim')}")
        self.effective[date, claim] = Effective(
            self._plays_of(date),
            frozenset(self.purged),
            frozenset(self.withdrawn),
            len(self.withdrawals),
            len(self.catalogues),
            self.acting,
        )

    def _check_run(self, date: str, run: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        for name, value in before.items():
            _require(after.get(name) == value, f"{name} of {run} of {date} was {value} and is {after.get(name)}")
        committed = [run for run, item in self._run_items(date) if "committed_at" in item and run.startswith("run-")]
        _require(run in self.execution_of, f"{run} of {date} is committed, and nobody has written it")
        if "committed_at" in after and "committed_at" not in before:
            self._check_commit(self.execution_of[run])
        executions = {self.execution_of[run] for run in committed}
        _require(len(executions) == len(committed), f"{date} has two runs of a batch: {committed}")
        if "replaced_by" in after and "replaced_by" not in before:
            self.replaced_at[date, run] = self.number("moment")
        if "replaced_by" in after and "committed_at" in before:
            lost = self.runs.get((date, run), frozenset()) - self._plays_of(date)
            users = {stored.play.user_id for stored in lost}
            _require(users <= self.purged, f"{date} has lost {lost}")
            if (date, after["replaced_by"]) in self.merged:
                self._check_merge(date, self.merged[date, after["replaced_by"]], users)

    def _check_merge(self, date: str, version: int, left_out: Collection[str]) -> None:
        """A merged run leaves out only users whom the rows of its computation leave out."""
        seen = {play.user_id for play in self.plays_of_version[date, version]}
        _require(seen.isdisjoint(left_out), f"runs of {date} are merged without {left_out}, whom its rows count")

    def _check_commit(self, execution: str | None) -> None:
        """A job commits runs of other executions only if it is the first of its own, and has read them.

        A run of merged ones is of no execution: all of its plays were committed before.
        """
        if execution is None:
            return
        acting: Any = self.acting
        own = self.execution_of_job.get(acting, execution)
        if execution != own:
            _require((acting, execution) in self.read_by, f"{own} takes along {execution}, and has not read its plays")
            _require(self.first_job[own] is acting, f"a job of {own} that is not the first takes along {execution}")

    def _run_items(self, date: str) -> list[tuple[str, Mapping[str, Any]]]:
        items = self.database.stored["ledger"].items
        return [(sk, item) for (pk, sk), item in items.items() if pk == f"RUNS#{date}"]

    def _plays_of(self, date: str) -> frozenset[Stored]:
        """The rows of a day's committed runs; a folder that is gone has none."""
        counting = (run for run, item in self._run_items(date) if "committed_at" in item and "replaced_by" not in item)
        return frozenset(stored for run in counting for stored in self.runs.get((date, run), ()))

    def _check_kpis(self, date: str, sort_key: str, before: Any, after: Any) -> None:  # noqa: ANN401 - items
        visible = self.visible(date)
        if sort_key == "SUMMARY":
            _require(after is not None, f"{date} has lost its SUMMARY")
            self._check_flip(date, int((before or {}).get("version", 0)), after)
            return
        version = version_of(sort_key)
        if after is None:
            kept = (visible, self.visible_before.get(date))
            _require(version < visible and version not in kept, f"{date}: {sort_key} was deleted, visible is {kept}")
            return
        _require(before is None or before == after, f"{date}: {sort_key} was changed")
        _require(version != visible, f"{date}: {sort_key} was written after it was made visible")
        _require(self.effective[date, version].claimant is self.acting, f"{date}: {sort_key} is not the writer's")

    def _check_flip(self, date: str, before: int, after: Mapping[str, Any]) -> None:
        version = int(after["version"])
        _require(version > before, f"{date} went from version {before} to {version}")
        self.visible_before[date] = before
        self._check_complete(date, version, after, self.computed[date, version])
        self._check_holds_what_was_effective(date, version, after)

    def _check_complete(self, date: str, version: int, summary: Mapping[str, Any], day: DayKpis | None) -> None:
        found = self.rows(date, version)
        lacking = found.pop(unknown_tracks_key(date, version)["sk"], {"track_ids": []})["track_ids"]
        _require(day is None or lacking == day.unknown_tracks, f"{date} version {version}: lacks {lacking}")
        rows = {row["genre"]: without(row, "pk", "sk") for row in found.values()}
        expected = {row["genre"]: row for row in day.genres} if day else {}
        _require(rows == stored_value(expected), f"{date} version {version}: {rows} and not {expected}")
        _require(is_marker(summary) == (day is None), f"{date} version {version}: {summary}")
        if day:
            totals = {name: summary[name] for name in day.summary}
            _require(totals == stored_value(day.summary), f"{date} version {version}: {totals} and not {day.summary}")
            _require(summary["genre_rows"] == len(rows), f"{date} version {version}: {summary['genre_rows']} rows")

    def _check_holds_what_was_effective(self, date: str, version: int, summary: Mapping[str, Any]) -> None:
        effective, plays = self.effective[date, version], self.plays_of_version[date, version]
        # Of a file that was withdrawn or restored since the claim, either may be.
        changed = set(self.withdrawals[effective.withdrawals :])
        may_be_left_out, must_not_be = effective.withdrawn | changed, effective.withdrawn - changed
        must_be = {stored.play for stored in effective.plays if stored.file not in may_be_left_out}
        missing = {play for play in must_be - plays if play.user_id not in self.purged}
        _require(not missing, f"version {version} of {date} lacks {missing}, committed before its claim")
        purged = {play for play in plays if play.user_id in effective.purged}
        _require(not purged, f"version {version} of {date} holds {purged}, purged before its claim")
        may_be = {stored.play for stored in self.rows_of_version[date, version] if stored.file not in must_not_be}
        withdrawn = plays - may_be
        _require(not withdrawn, f"version {version} of {date} holds {withdrawn}, withdrawn before its claim")
        used = summary.get("songs_snapshot")
        newer = self.catalogues[: effective.catalogues][-1:]
        is_new = not newer or is_marker(summary) or used in self.catalogues[effective.catalogues - 1 :]
        _require(is_new, f"{date}: {used} and not {newer}")

    # A reader

    def _read(self, actor: Actor, reading: Reading) -> None:
        first = self.visible(reading.date)
        summary, rows = self.code.kpis.read_rows(self.table("kpis", actor), reading.date)
        version = int(summary.get("version", 0))
        _require(version >= first, f"a reader of {reading.date} saw version {version}, after {first}")
        if version:
            self._check_read(reading.date, version, rows)
        reading.state = "finished"

    def _check_read(self, date: str, version: int, rows: Sequence[Mapping[str, Any]]) -> None:
        day = self.computed[date, version]
        seen = {row["genre"]: without(row, "pk", "sk") for row in rows}
        expected = stored_value({row["genre"]: row for row in day.genres} if day else {})
        _require(seen == expected, f"a reader of {date} saw {seen} in place of {expected}")

    # The services

    def before(self, actor: Actor) -> Callable[[str, Mapping[str, Any]], bool]:
        """What a job's handle of a table calls before an operation: a pause, and sometimes a throttled write."""
        batch_writes = count(1)

        def before(operation: str, request: Mapping[str, Any]) -> bool:
            actor.pause(step_of(operation, request))
            is_batch = operation == "batch_write_item" and self._throttle_every
            return not is_batch or next(batch_writes) % self._throttle_every != 0

        return before

    def table(self, name: str, actor: Actor) -> MemoryTable:
        """A job's own handle of a table."""
        return self.database.table(name, self.before(actor))


class JobFailedError(Exception):
    """A job ends with an error that its retry or redrive mends."""


@dataclass(frozen=True)
class PlainWriter:
    """The writer of a validation job: rows in Python, the lake in the world."""

    world: World
    actor: Actor
    execution_arn: str

    def write(
        self, references: Sequence[AcceptedFile], streams: Sequence[AcceptedFile], run: str, tombstones: Tombstones
    ) -> Written:
        for file in (*references, *streams):
            status = self.world.ledger.file_status_and_execution(file.key, file.version_id)[0]
            _require(status in ("ACCEPTED", "LOADED", "ARCHIVED"), f"rows of {file} go to the lake, which is {status}")
        return Written(
            snapshots=[self._write_snapshot(file, run, tombstones) for file in references],
            dates=self._write_plays(streams, run, tombstones),
            size=len(streams),
        )

    def _write_plays(self, files: Sequence[AcceptedFile], run: str, tombstones: Tombstones) -> list[str]:
        self.world.execution_of[run] = self.execution_arn
        rows = {Stored(play, file.name) for file in files for play in self.world.files[file.key, file.version_id].rows}
        dates = sorted({date_of(stored.play) for stored in rows})
        for date in dates:
            self.actor.pause("write run")
            of_day = (stored for stored in rows if date_of(stored.play) == date)
            self.world.write_run(
                date, run, frozenset(stored for stored in of_day if stored.play.user_id not in tombstones), self.actor
            )
        self.actor.pause("write days of files")
        for stored in rows:
            if stored.play.user_id not in tombstones:
                self.world.dates_of_file.setdefault(stored.file, set()).add(date_of(stored.play))
        return dates

    def _write_snapshot(self, file: AcceptedFile, run: str, tombstones: Tombstones) -> Snapshot:
        self.actor.pause("write snapshot")
        rows = self.world.files[file.key, file.version_id].rows
        kept = tuple(row for row in rows if not isinstance(row, User) or row.user_id not in tombstones)
        uri = f"{file.dataset}/{file.snapshot_name(run)}#{file.version_id}"
        self.world.snapshots[uri] = kept
        return file.snapshot(uri, len(kept))


@dataclass(frozen=True)
class PlainEngine:
    """The engine of a KPI job: rows in Python, the lake in the world."""

    world: World
    actor: Actor

    def publisher(self) -> Any:  # noqa: ANN401 - a Publisher of the code under test
        """What publishes the days that this engine computes, with the job's own handles of the tables."""
        world, code = self.world, self.world.code
        books = code.ledger.Ledger(world.table("ledger", self.actor))
        rows = code.kpi_table.KpiTable(world.table("kpis", self.actor), sleep=lambda _: self.actor.pause("wait"))
        return code.publication.Publisher(books, rows, self.compute, MADE_WITH)

    def compute(
        self, claims: Sequence[Claim], snapshots: Snapshots, tombstones: Tombstones, withdrawn: frozenset[str]
    ) -> dict[str, DayKpis]:
        self.actor.pause("compute")
        days: dict[str, DayKpis] = {}
        for claim in claims:
            missing = [run for run in claim.runs if (claim.date, run) not in self.world.runs]
            collected = [run for run in missing if (claim.date, run) in self.world.collected]
            _require(not collected, f"{collected} of {claim.date} were collected, and are still read")
            if missing:
                raise JobFailedError(f"no such folder: {missing}")
            rows = frozenset(stored for run in claim.runs for stored in self.world.runs[claim.date, run])
            plays = frozenset(stored.play for stored in rows if stored.file not in withdrawn)
            plays = frozenset(play for play in plays if play.user_id not in tombstones)
            songs, users = (self._snapshot(snapshots[dataset]) for dataset in ("songs", "users"))
            day = day_of(plays, songs, users)
            self.world.computed[claim.date, claim.version] = day
            self.world.plays_of_version[claim.date, claim.version] = plays
            self.world.rows_of_version[claim.date, claim.version] = rows
            days |= {claim.date: day} if day else {}
        self.actor.pause("computed")
        return days

    def known_tracks(self, songs: Snapshot, track_ids: Collection[str]) -> Collection[str]:
        self.actor.pause("read catalogue")
        return {song.track_id for song in self._snapshot(songs)}.intersection(track_ids)

    def rows(self, date: str, runs: Collection[str]) -> Mapping[str, int]:
        self.actor.pause("read sizes")
        return {run: len(self._run(date, run)) for run in runs}

    def merge(self, date: str, runs: Collection[str], name: str, tombstones: Tombstones) -> None:
        self.actor.pause("merge")
        rows = frozenset(stored for run in runs for stored in self._run(date, run))
        self.actor.pause("merged")
        self.world.execution_of[name] = None
        self.world.merged[date, name] = int(name.rpartition("-")[2])
        self.world.write_run(
            date, name, frozenset(stored for stored in rows if stored.play.user_id not in tombstones), self.actor
        )

    def _run(self, date: str, run: str) -> frozenset[Stored]:
        if (date, run) not in self.world.runs:
            raise JobFailedError(f"no such folder: {run} of {date}")
        return self.world.runs[date, run]

    def _snapshot(self, snapshot: Snapshot | None) -> tuple[Any, ...]:
        return self.world.snapshots[snapshot.uri] if snapshot else ()


@dataclass(frozen=True)
class PlainBatches:
    """What a KPI job reads of the batches that it takes along."""

    world: World
    actor: Actor

    def files(self, batch: Batch) -> Sequence[AcceptedFile]:
        self.actor.pause("read batch")
        world = self.world
        is_whole = all((date, batch.run) in world.runs for date in batch.dates)
        if not is_whole or batch.document_uri not in world.documents or not world.can_read():
            raise UnreadableBatchError
        world.read_by.add((self.actor, batch.execution_arn))
        return [accepted_file(file) for file in world.documents[batch.document_uri]]


@dataclass(frozen=True)
class ExecutionJob:
    """What the state machine and its jobs do for one batch."""

    world: World
    actor: Actor

    def run(self, execution: Execution) -> None:
        """From the state that the execution has come to."""
        for state, work in (("validate", self._validate), ("compute", self._compute), ("archive", self._archive)):
            if execution.state == state:
                work(execution)
                if self._is_given_up(execution):
                    return
                execution.state = {"validate": "compute", "compute": "archive", "archive": "finished"}[state]

    def _is_given_up(self, execution: Execution) -> bool:
        return execution.actor is not self.actor

    def _validate(self, execution: Execution) -> None:
        world, code = self.world, self.world.code
        books = code.ledger.Ledger(world.table("ledger", self.actor))
        judgements = {}
        for file in execution.files:
            status, holder = books.file_status_and_execution(*file.identity)
            is_gone = file.identity not in world.raw and holder != execution.arn
            if status == FileStatus.ARCHIVED or (status == FileStatus.REJECTED and is_gone):
                continue
            books.receive_file(*file.identity, {"execution": execution.arn})
            is_valid = world.number("judgement") % 2 == 0 if file.is_valid is None else file.is_valid
            judgements[file] = Judgement(
                accepted=accepted_file(file),
                has_rows=True,
                status=FileStatus.ACCEPTED if is_valid else FileStatus.REJECTED,
                attributes={},
            )
        recorded = code.batch_record.BatchRecord(
            ledger=books,
            writer=PlainWriter(world, self.actor, execution.arn),
            execution_arn=execution.arn,
            run=f"run-{world.number('run')}",
            document_uri=f"{execution.arn}/accepted.json",
        ).record(judgements)
        self.actor.pause("write document")
        world.documents[f"{execution.arn}/accepted.json"] = tuple(recorded.accepted)
        if self._is_given_up(execution):
            return
        execution.accepted = list(recorded.accepted)
        for file, verdict in recorded.verdicts.items():
            if verdict.status == FileStatus.REJECTED and verdict.execution == execution.arn:
                self._move(file, world.error)

    def _compute(self, execution: Execution) -> None:
        if not execution.accepted and not execution.recompute:
            return
        world, code = self.world, self.world.code
        engine = PlainEngine(world, self.actor)
        publisher = engine.publisher()
        accepted = AcceptedFiles(
            execution_arn=execution.arn,
            files=[accepted_file(file) for file in execution.accepted],
            recompute=execution.recompute,
        )
        run = f"job-{world.number('job')}"
        world.actor_of_job[run] = self.actor
        loaded = code.kpi_batch.KpiBatch(
            publisher=publisher,
            known_tracks=engine.known_tracks,
            batches=PlainBatches(world, self.actor),
            run=run,
        ).load(accepted)
        if not self._is_given_up(execution):
            world.check_visible(execution)
        code.merging.merge_runs(publisher.ledger, engine, loaded.days, run)

    def _archive(self, execution: Execution) -> None:
        table = self.world.table("ledger", self.actor)
        for file in execution.accepted:
            self._move(file, self.world.archive)
            table.update_item(
                Key=file_key(*file.identity),
                UpdateExpression="SET #status = :archived",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues={":archived": "ARCHIVED"},
            )

    def _move(self, file: FileVersion, target: set[tuple[str, str]]) -> None:
        self.actor.pause("copy")
        target.add(file.identity)
        self.actor.pause("delete")
        self.world.raw.discard(file.identity)


@dataclass(frozen=True)
class PurgeJob:
    """What `operations purge-user` does as far as KPIs go, on the same ledger and publisher."""

    world: World
    actor: Actor

    def run(self, purge: Purge) -> None:
        """Tombstone first, then the runs, then claim and compute. The journal is the user's, not the command's."""
        world, code = self.world, self.world.code
        publisher = PlainEngine(world, self.actor).publisher()
        books = publisher.ledger
        books.purge_user(purge.user_id)
        world.purged.add(purge.user_id)
        while dirty := self._dirty_runs(purge):
            for date, run in dirty:
                self._clean(books, purge, date, run)
        self.actor.pause("read journal")
        dates = sorted(
            {
                *world.journals.get(purge.user_id, ()),
                *code.publication.unpublished(*code.publication.read_days(books, publisher.kpi_table)),
            }
        )
        publisher.publish(dict.fromkeys(dates, ()))
        for date in dates:
            seen = world.plays_of_version[date, world.visible(date)]
            _require(all(play.user_id != purge.user_id for play in seen), f"{purge.user_id} is purged and in {date}")
        self.actor.pause("close journal")
        world.journals.pop(purge.user_id, None)
        purge.state = "finished"

    def _dirty_runs(self, purge: Purge) -> list[tuple[str, str]]:
        """The days and runs that hold the user, committed or not."""
        self.actor.pause("list runs")
        plays = self.world.runs.items()
        return sorted(of for of, held in plays if any(stored.play.user_id == purge.user_id for stored in held))

    def _clean(self, books: Any, purge: Purge, date: str, run: str) -> None:  # noqa: ANN401 - a Ledger
        """Puts a run without the user in the place of one."""
        runs = self.world.runs
        if books.day(date):
            self.actor.pause("note day")
            self.world.journals.setdefault(purge.user_id, set()).add(date)
        if not books.is_replaced(date, run):
            self.actor.pause("write run")
            rows = runs.get((date, run), frozenset())
            clean = f"clean-{self.world.number('clean')}"
            self.world.execution_of[clean] = self.world.execution_of[run]
            self.world.write_run(
                date, clean, frozenset(stored for stored in rows if stored.play.user_id != purge.user_id), self.actor
            )
            if not books.replace_run(date, run, clean):
                raise JobFailedError(f"somebody else has replaced {run} of {date}: repeat the command")
        self.actor.pause("delete")
        runs.pop((date, run), None)


@dataclass(frozen=True)
class WithdrawalCommand:
    """What `operations withdraw` and `restore` do, on the same ledger and publisher."""

    world: World
    actor: Actor

    def run(self, withdrawing: Withdrawing) -> None:
        """The real order of the steps; the lake and the computation are the world's."""
        world = self.world
        publisher = PlainEngine(world, self.actor).publisher()

        def dates_of_file(file: str) -> set[str]:
            self.actor.pause("list days of the file")
            return set(world.dates_of_file.get(file, ()))

        world.code.withdrawals.change_withdrawal(
            publisher.ledger,
            withdrawing.file.identity,
            is_withdrawn=withdrawing.is_withdrawn,
            dates_of_file=dates_of_file,
            compute=lambda dates: publisher.publish(dict.fromkeys(dates, ())),
        )
        withdrawing.state = "finished"


@dataclass(frozen=True)
class CollectCommand:
    """What `operations collect` does. What is young in the world is what somebody who is under way may have begun."""

    world: World
    actor: Actor

    def run(self, collecting: Collecting) -> None:
        """Asks of each run, by the real rule, whether it is a leftover."""
        world, code = self.world, self.world.code
        books = code.ledger.Ledger(world.table("ledger", self.actor))
        self.actor.pause("list lake")
        if any(isinstance(work, Purge) and work.state != "finished" for work in world.work):
            collecting.state = "finished"
            return
        for date, run in sorted(world.runs):
            # Asked before the ledger is read: no job that still runs has written an old run.
            is_old = world.writer_of[date, run] not in world.acting_jobs()
            item = books.run_items(date).get(run)
            now = datetime.now(UTC)
            replaced_at = world.replaced_at.get((date, run), 0)
            is_read = any(world.began[actor] < replaced_at for actor in world.acting_jobs())
            is_leftover = code.collect.is_leftover(
                item,
                written=now - timedelta(days=100) if is_old else now,
                now=now if is_read else now + timedelta(days=10),
                kept=timedelta(days=30),
                is_needed=partial(self._is_needed, books, run),
            )
            self.actor.pause("delete run")
            if is_leftover:
                world.collected.add((date, run))
                world.runs.pop((date, run), None)
        collecting.state = "finished"

    def _is_needed(self, books: Any, run: str) -> bool:  # noqa: ANN401 - a Ledger
        arn = self.world.execution_of[run]
        if arn is None:
            return False
        unfinished = [work for work in self.world.work if isinstance(work, Execution) and work.state != "finished"]
        use = books.batch_use(arn)
        is_begun = use is not None and self.world.actor_of_job.get(use.begun_by) in self.world.acting_jobs()
        is_waiting = use is not None and use.is_waiting
        return is_waiting or is_begun or any(execution.arn == arn for execution in unfinished)


def step_of(operation: str, request: Mapping[str, Any]) -> str:
    """The name of a step: what an interleaving is told by."""
    if operation == "batch_write_item":
        return "write" if "PutRequest" in request else "collect"
    if operation == "put_item":
        return "flip" if request["Item"]["sk"] == "SUMMARY" else "put"
    if operation == "transact_write_items":
        return "swap runs"
    if "IndexName" in request:
        return "list batches"
    if operation == "query":
        return {
            "RUNS": "read runs",
            "DAYS": "list days",
            "PURGED": "read tombstones",
            "WITHDRAWN": "read withdrawals",
            "DAY": "read rows",
        }[request["Values"].get(":partition", "DAY#").partition("#")[0]]
    kind = str(request["Key"]["pk"]).partition("#")[0]
    if operation == "update_item" and kind == "BATCH":
        return "begin batch" if "begun_by" in request["UpdateExpression"] else "record batch"
    if operation == "update_item" and kind == "DAYS":
        return "claim" if "claim" in request["UpdateExpression"] else "note"
    names = {
        ("update_item", "RUNS"): "change run",
        ("update_item", "WITHDRAWN"): "withdraw",
        ("update_item", "SNAPSHOTS"): "move pointer",
        ("get_item", "SNAPSHOTS"): "read pointer",
        ("get_item", "DAY"): "read summary",
    }
    return names.get((operation, kind), f"{operation} {kind}")


def day_of(plays: frozenset[Play], songs: Sequence[Song], users: Sequence[User]) -> DayKpis | None:
    """The KPIs of plays of one day; None where there are none."""
    rows = oracle.kpi_items(plays, songs, users, top_songs=TOP_SONGS, top_genres=TOP_GENRES)
    lacking = sorted(unknown_tracks(plays, songs))
    listed = lacking if len(lacking) <= MAX_UNKNOWN_TRACKS else None
    return next(iter(days_of(rows, {date_of(play): listed for play in plays}).values()), None)


def unknown_tracks(plays: Iterable[Play], songs: Iterable[Song]) -> frozenset[str]:
    """The played tracks that no song has."""
    return frozenset(play.track_id for play in plays) - {song.track_id for song in songs}


def date_of(play: Play) -> str:
    """The play's day, yyyy-mm-dd."""
    return play.listen_time.strftime("%Y-%m-%d")


def version_of(sort_key: str) -> int:
    """The version of a row; 0 of SUMMARY."""
    return int(sort_key.split("#")[1]) if sort_key.startswith("V#") else 0


def accepted_file(file: FileVersion) -> AcceptedFile:
    """The file as an accepted one; version ids ascend as the seconds of the uploads do."""
    uploaded_at = datetime.fromtimestamp(1_700_000_000 + int(file.version_id[1:]), UTC)
    return AcceptedFile(
        key=file.key,
        version_id=file.version_id,
        dataset=file.dataset,
        uploaded_at=uploaded_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise LawBrokenError(message)
