"""The pipeline as far as exactness goes: uploads, executions, purges, on the real ledger, claim and writer code.

Spark is replaced by the oracle behind `Engine`, DynamoDB by `MemoryDynamoDB`, Step Functions by `Execution`. The world
watches every write and raises `LawBrokenError` when one of them must not be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import ModuleType
from typing import Any, Final, NamedTuple

from glue_scripts import batch_record, kpi_batch, kpi_table, ledger, publication
from glue_scripts.accepted_files import AcceptedFile, AcceptedFiles
from glue_scripts.batch_record import Judgement, Written
from glue_scripts.ledger import Claim, FileStatus, Snapshot, Tombstones, file_key
from glue_scripts.publication import Snapshots
from tests import oracle
from tests.exactness.actors import Actor, CrashError
from tests.exactness.memory_dynamodb import Key, MemoryDynamoDB, MemoryTable, cancelled
from tests.oracle import Play, User

TOP_SONGS: Final = 2
TOP_GENRES: Final = 2
BUSY_YEAR: Final = "DAYS#2024"
MAX_STEPS: Final = 20_000
MAX_REDRIVES: Final = 30
BOOKKEEPING: Final = {"claim", "computed_at"}


class LawBrokenError(AssertionError):
    """Something happened that must not happen under any history."""


class Code(NamedTuple):
    """The code under test: modules, of which a mutation test replaces one."""

    ledger: ModuleType = ledger
    kpi_table: ModuleType = kpi_table
    publication: ModuleType = publication
    kpi_batch: ModuleType = kpi_batch
    batch_record: ModuleType = batch_record


class InTurn:
    """A pool that does one thing after another: of a job, one step is under way at a time."""

    def __init__(self, max_workers: int) -> None:
        pass

    def __enter__(self) -> InTurn:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(self, function: Callable[[Any], Any], arguments: Sequence[Any]) -> Iterator[Any]:
        return iter([function(argument) for argument in arguments])


@contextmanager
def small_numbers(code: Code) -> Iterator[None]:
    """Few rows a transaction, few polls, few days at once: small histories meet every limit."""
    settings = [
        (code.kpi_table, "MAX_WRITES", 2),
        (code.publication, "MAX_POLLS", 3),
        (code.publication, "MAX_DAYS_AT_ONCE", 2),
        (code.publication, "ThreadPoolExecutor", InTurn),
        (code.batch_record, "ThreadPoolExecutor", InTurn),
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
class Zombie:
    """A job that was given up for dead and goes on: its execution goes on without it."""

    actor: Actor | None

    @property
    def state(self) -> str:
        return "zombie" if self.actor else "finished"


Work = Execution | Purge | Zombie


class Effective(NamedTuple):
    """What had taken effect when a day was claimed, and what the claim's rows must therefore hold."""

    plays: frozenset[Play]
    purged: frozenset[str]
    catalogues: int


class World:
    """Everything that outlives a job, and the checks of every write.

    Args:
        code: the code under test.
        conflict_every: one in so many transactions meets a conflict; 0 for none.
    """

    def __init__(self, code: Code, conflict_every: int = 0) -> None:
        self.code = code
        self.database = MemoryDynamoDB({"ledger": ("pk",), "kpis": ("pk", "sk")}, written=self._written)
        self.ledger = code.ledger.Ledger(self.database.table("ledger"))
        self.files: dict[tuple[str, str], FileVersion] = {}
        self.raw: set[tuple[str, str]] = set()
        self.archive: set[tuple[str, str]] = set()
        self.error: set[tuple[str, str]] = set()
        self.runs: dict[tuple[str, str], frozenset[Play]] = {}
        self.snapshots: dict[str, tuple[Any, ...]] = {}
        self.computed: dict[tuple[str, int], dict[str, dict[str, Any]]] = {}
        self.plays_of_claim: dict[tuple[str, int], frozenset[Play]] = {}
        self.execution_of: dict[str, str] = {}
        self.claimant: dict[str, object] = {}
        self.effective: dict[tuple[str, int], Effective] = {}
        self.catalogues: list[str] = []
        self.purged: set[str] = set()
        self.journals: dict[str, set[str]] = {}
        self.work: list[Work] = []
        self.acting: object = None
        self._conflict_every = conflict_every
        self._transactions = 0
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

    def begin(self, work: Execution | Purge) -> None:
        """Starts an execution or a purge, or starts it again after a crash or failure."""
        if work not in self.work:
            self.work.append(work)

        def run(actor: Actor) -> None:
            if isinstance(work, Purge):
                PurgeJob(self, actor).run(work)
            else:
                ExecutionJob(self, actor).run(work)

        work.actor = Actor(run)

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
                if error and not isinstance(error, JobFailedError | self.code.publication.DayNotPublishedError):
                    raise error

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
        raise LawBrokenError("redriven again and again, and not finished")

    def close(self) -> None:
        """Ends every thread."""
        for work in self.work:
            if work.actor:
                work.actor.kill()
                work.actor = None

    # What must hold

    def rows(self, date: str) -> dict[str, dict[str, Any]]:
        """The visible rows of a day, by sort key."""
        items = self.database.stored["kpis"].items
        return {sk: item for (pk, sk), item in items.items() if pk == f"DAY#{date}"}

    def accepted_plays(self) -> frozenset[Play]:
        """Every play of every accepted file, without those of purged users."""
        plays = (play for key in self.archive for play in self._streams(self.files[key]))
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
        with_rows = {pk.removeprefix("DAY#") for pk, _ in self.database.stored["kpis"].items}
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
        day = self.ledger.day(date)
        _require(day is not None and day.is_published, f"{date} is not published: {day}")
        rows = self.rows(date)
        summary = rows.get("SUMMARY", {})
        songs = self.snapshots.get(str(summary.get("songs_snapshot")), ())
        users = self.snapshots.get(str(summary.get("users_snapshot")), ())
        expected = by_sort_key(oracle.kpi_items(plays, songs, users, top_songs=TOP_SONGS, top_genres=TOP_GENRES))
        _require(comparable(rows) == comparable(expected), f"{date}: {comparable(rows)} and not {comparable(expected)}")
        if summary.get("unknown_track_plays"):
            current = self.ledger.current_snapshot("songs")
            uri = current.uri if current else None
            _require(summary["songs_snapshot"] == uri, f"{date} lacks tracks and is not of the current catalogue {uri}")

    def check_visible(self, execution: Execution) -> None:
        """Called when the KPI job of an execution ends well: its plays are visible."""
        for date in self.ledger.dates() if any(file.dataset == "songs" for file in execution.accepted) else ():
            day = self.ledger.day(date)
            if day and day.published and day.unknown_plays:
                used = self.snapshots_rank(day.snapshots.get("songs"))
                newest = max(file.version_id for file in execution.accepted if file.dataset == "songs")
                _require(used >= newest, f"the catalogue {newest} is loaded, and {date} lacks tracks with {used}")
        for file in execution.accepted:
            for play in self._streams(file):
                day = self.ledger.day(date_of(play))
                seen = self.plays_of_claim.get((date_of(play), day.published if day else 0), frozenset())
                is_there = play in seen or play.user_id in self.purged
                _require(is_there, f"the job has SUCCEEDED and {play} is not published")

    def snapshots_rank(self, uri: str | None) -> str:
        """The version of the file that a snapshot was made of; less than any for none."""
        return uri.rpartition("#")[2] if uri else ""

    def _streams(self, file: FileVersion) -> tuple[Play, ...]:
        return file.rows if file.dataset == "streams" else ()

    # Every write

    def _written(self, table: str, changes: Mapping[Key, tuple[Any, Any]]) -> None:
        if table == "kpis":
            self._check_kpis(changes)
        else:
            for (pk, *_), (before, after) in changes.items():
                if pk.startswith("DAY#"):
                    self._check_ledger_day(pk.removeprefix("DAY#"), before or {}, after)
                if pk == "SNAPSHOT#songs":
                    self.catalogues.append(after["uri"])

    def _check_ledger_day(self, date: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        if "claim" not in after:  # a run was replaced before it was committed
            return
        runs = after.get("runs", ())
        _require(len({self.execution_of[run] for run in runs}) == len(runs), f"{date} has two runs of a batch: {runs}")
        claim, published = int(after["claim"]), int(after.get("published", 0))
        _require(claim >= before.get("claim", 0), f"the claim of {date} decreased")
        _require(published >= before.get("published", 0), f"the published claim of {date} decreased")
        lost = self._plays_of(date, before) - self._plays_of(date, after)
        _require(all(play.user_id in self.purged for play in lost), f"{date} has lost {lost}")
        if claim != before.get("claim", 0):
            self.claimant[date] = self.acting
            self.effective[date, claim] = Effective(
                self._plays_of(date, after), frozenset(self.purged), len(self.catalogues)
            )
            _require(date in self.ledger.dates(date, date), f"{date} is claimed and not listed")
        if published != before.get("published", 0):
            _require(published == claim, f"claim {published} of {date} was published after claim {claim}")
            self._check_complete(date, published)
            self._check_holds_what_was_effective(date, after)

    def _plays_of(self, date: str, day: Mapping[str, Any]) -> frozenset[Play]:
        """The plays of a day's runs; a folder that is gone has none."""
        return frozenset(play for run in day.get("runs", ()) for play in self.runs.get((date, run), ()))

    def _check_holds_what_was_effective(self, date: str, day: Mapping[str, Any]) -> None:
        claim = int(day["published"])
        effective, plays = self.effective[date, claim], self.plays_of_claim[date, claim]
        missing = {play for play in effective.plays - plays if play.user_id not in self.purged}
        _require(not missing, f"claim {claim} of {date} lacks {missing}, committed before it")
        purged = {play for play in plays if play.user_id in effective.purged}
        _require(not purged, f"claim {claim} of {date} holds {purged}, purged before it")
        used = day["snapshots"].get("songs")
        newer = self.catalogues[: effective.catalogues][-1:]
        _require(not newer or used in self.catalogues[effective.catalogues - 1 :], f"{date}: {used} and not {newer}")

    def _check_kpis(self, changes: Mapping[Key, tuple[Any, Any]]) -> None:
        dates = {pk.removeprefix("DAY#") for pk, _ in changes}
        _require(len(dates) == 1, f"a transaction writes several days: {dates}")
        (date,) = dates
        _require(self.claimant.get(date) is self.acting, f"a stale writer writes {date}")
        for (_, sort_key), (before, after) in changes.items():
            is_change = before is None or after is None or comparable({"": before}) != comparable({"": after})
            _require(is_change or sort_key == "SUMMARY", f"{date} {sort_key} was written unchanged")
            _require(before is not None or after is not None, f"{date} {sort_key} was deleted, which was not there")
            if sort_key == "SUMMARY":
                day = self.ledger.day(date)
                self._check_complete(date, int(after["claim"]) if after else day.claim)

    def _check_complete(self, date: str, claim: int) -> None:
        expected = self.computed.get((date, claim), {})
        _require(comparable(self.rows(date)) == comparable(expected), f"{date}: claim {claim} is not complete")

    # The services

    def before(self, actor: Actor) -> Callable[[str, Mapping[str, Any]], None]:
        """What a job's handle of a table calls before an operation: a pause, and sometimes a conflict."""

        def before(operation: str, request: Mapping[str, Any]) -> None:
            key = str(request.get("Key", {}).get("pk", ""))
            if (
                operation == "get_item"
                and key.startswith(("PURGED#", "DAYS#"))
                and key not in ("PURGED#SALT", BUSY_YEAR)
            ):
                return  # of the shards of one read only one matters
            actor.pause(step_of(operation, key, str(request.get("UpdateExpression", ""))))
            if operation == "transact_write_items":
                self._transactions += 1
                if self._conflict_every and self._transactions % self._conflict_every == 0:
                    raise cancelled(["TransactionConflict", *["None"] * (len(request["TransactItems"]) - 1)])

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
        )

    def _write_plays(self, files: Sequence[AcceptedFile], run: str, tombstones: Tombstones) -> list[str]:
        self.world.execution_of[run] = self.execution_arn
        plays = {play for file in files for play in self.world.files[file.key, file.version_id].rows}
        dates = sorted({date_of(play) for play in plays})
        for date in dates:
            self.actor.pause("write run")
            self.world.runs[date, run] = frozenset(
                play for play in plays if date_of(play) == date and play.user_id not in tombstones
            )
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

    def compute(self, claims: Sequence[Claim], snapshots: Snapshots, tombstones: Tombstones) -> list[dict[str, Any]]:
        self.actor.pause("compute")
        items = []
        for claim in claims:
            missing = [run for run in claim.runs if (claim.date, run) not in self.world.runs]
            if missing:
                raise JobFailedError(f"no such folder: {missing}")
            plays = frozenset(play for run in claim.runs for play in self.world.runs[claim.date, run])
            plays = frozenset(play for play in plays if play.user_id not in tombstones)
            songs, users = (self._snapshot(snapshots[dataset]) for dataset in ("songs", "users"))
            rows = oracle.kpi_items(plays, songs, users, top_songs=TOP_SONGS, top_genres=TOP_GENRES)
            self.world.computed[claim.date, claim.number] = by_sort_key(rows)
            self.world.plays_of_claim[claim.date, claim.number] = plays
            items += rows
        self.actor.pause("computed")
        return items

    def _snapshot(self, snapshot: Snapshot | None) -> tuple[Any, ...]:
        return self.world.snapshots[snapshot.uri] if snapshot else ()


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
            document_uri="accepted.json",
        ).record(judgements)
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
        books = code.ledger.Ledger(world.table("ledger", self.actor))
        rows = code.kpi_table.KpiTable(world.table("kpis", self.actor), "ledger", sleep=self._sleep)
        publisher = code.publication.Publisher(books, rows, engine.compute, sleep=self._sleep)
        accepted = AcceptedFiles(
            execution_arn=execution.arn,
            files=[accepted_file(file) for file in execution.accepted],
            recompute=execution.recompute,
        )
        code.kpi_batch.KpiBatch(ledger=books, publisher=publisher, run=f"job-{world.number('job')}").load(accepted)
        if not self._is_given_up(execution):
            world.check_visible(execution)

    def _archive(self, execution: Execution) -> None:
        table = self.world.table("ledger", self.actor)
        for file in execution.accepted:
            self._move(file, self.world.archive)
            table.update_item(
                Key={"pk": file_key(*file.identity)},
                UpdateExpression="SET #status = :archived",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues={":archived": "ARCHIVED"},
            )

    def _move(self, file: FileVersion, target: set[tuple[str, str]]) -> None:
        self.actor.pause("copy")
        target.add(file.identity)
        self.actor.pause("delete")
        self.world.raw.discard(file.identity)

    def _sleep(self, seconds: float) -> None:
        self.actor.pause("wait")


@dataclass(frozen=True)
class PurgeJob:
    """What `operations purge-user` does as far as KPIs go, on the same ledger and publisher."""

    world: World
    actor: Actor

    def run(self, purge: Purge) -> None:
        """Tombstone first, then the runs, then claim and compute. The journal is the user's, not the command's."""
        world, code = self.world, self.world.code
        books = code.ledger.Ledger(world.table("ledger", self.actor))
        books.purge_user(purge.user_id)
        world.purged.add(purge.user_id)
        while dirty := self._dirty_runs(purge):
            for date, run in dirty:
                self._clean(books, purge, date, run)
        rows = code.kpi_table.KpiTable(world.table("kpis", self.actor), "ledger", sleep=self._sleep)
        engine = PlainEngine(world, self.actor)
        publisher = code.publication.Publisher(books, rows, engine.compute, sleep=self._sleep)
        self.actor.pause("read journal")
        dates = sorted({*world.journals.get(purge.user_id, ()), *books.unpublished_days()})
        publisher.publish(dict.fromkeys(dates))
        for date in dates:
            day = world.ledger.day(date)
            seen = world.plays_of_claim[date, day.published]
            _require(all(play.user_id != purge.user_id for play in seen), f"{purge.user_id} is purged and in {date}")
        self.actor.pause("close journal")
        world.journals.pop(purge.user_id, None)
        purge.state = "finished"

    def _dirty_runs(self, purge: Purge) -> list[tuple[str, str]]:
        """The days and runs that hold the user, committed or not."""
        self.actor.pause("list runs")
        plays = self.world.runs.items()
        return sorted(of for of, held in plays if any(play.user_id == purge.user_id for play in held))

    def _clean(self, books: Any, purge: Purge, date: str, run: str) -> None:  # noqa: ANN401 - a Ledger
        """Puts a run without the user in the place of one."""
        runs = self.world.runs
        if not books.is_replaced(date, run):
            if books.day(date):
                self.actor.pause("note day")
                self.world.journals.setdefault(purge.user_id, set()).add(date)
            self.actor.pause("write run")
            plays = runs.get((date, run), frozenset())
            clean = f"clean-{self.world.number('clean')}"
            self.world.execution_of[clean] = self.world.execution_of[run]
            runs[date, clean] = frozenset(play for play in plays if play.user_id != purge.user_id)
            if not books.replace_run(date, run, clean):
                raise JobFailedError(f"somebody else has replaced {run} of {date}: repeat the command")
        self.actor.pause("delete")
        runs.pop((date, run), None)

    def _sleep(self, seconds: float) -> None:
        self.actor.pause("wait")


def step_of(operation: str, key: str, update: str) -> str:
    """The name of a step: what an interleaving is told by."""
    if operation == "transact_write_items":
        return "write"
    if operation == "query":
        return "read rows"
    if key.startswith("DAY#") and operation == "update_item":
        return "claim" if "claim :one" in update else "publish" if "published" in update else "change day"
    if key.startswith("SNAPSHOT#") and operation == "get_item":
        return "read pointer"
    if key.startswith("SNAPSHOT#"):
        return "move pointer"
    if key.startswith("BATCH#") and operation == "update_item":
        return "record batch"
    return f"{operation} {key.partition('#')[0]}"


def date_of(play: Play) -> str:
    """The play's day, yyyy-mm-dd."""
    return play.listen_time.strftime("%Y-%m-%d")


def by_sort_key(items: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """A day's rows by sort key."""
    return {item["sk"]: item for item in items}


def comparable(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Rows without what differs between two computations of the same."""
    varying = BOOKKEEPING | {"songs_snapshot", "users_snapshot"}
    return {sk: {name: value for name, value in row.items() if name not in varying} for sk, row in rows.items()}


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
