"""Random histories: what can happen to the pipeline, as rules of a state machine of Hypothesis."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.exactness.simulation import (
    Code,
    Collecting,
    Execution,
    FileVersion,
    Purge,
    Reading,
    Withdrawing,
    Work,
    World,
    small_numbers,
)
from tests.oracle import Play, Song, User

START: Final = datetime(2024, 6, 25, 23, 30, tzinfo=UTC)
USER_IDS: Final = ("ann", "bob", "cem")
TRACK_IDS: Final = ("t1", "t2")
PLAYS: Final = tuple(
    Play(user_id, track_id, START + timedelta(hours=hours))
    for user_id in USER_IDS
    for track_id in TRACK_IDS
    for hours in (0, 1)
)
"""Two days, half an hour on each side of a midnight."""
CATALOGUES: Final = (
    (Song("t1", "One", "A", "pop", 1000), Song("t1", "One", "A", "rock", 1000)),
    (Song("t1", "One", "A", "pop", 1000), Song("t2", "Two", None, "jazz", 3000)),
    (Song("t1", "One", "B", "folk", 1500), Song("t2", "Two", "B", "jazz", 3000)),
)
USERS: Final = (
    tuple(User(user_id, "FR") for user_id in USER_IDS),
    tuple(User(user_id, f"country of {user_id}") for user_id in USER_IDS[:2]),
)
KEYS: Final = ("raw/streams/a.csv", "raw/streams/b.csv")
STEPS: Final = st.sampled_from(
    [(1, ""), (2, ""), (4, ""), (9, ""), (99, "claim"), (99, "computed"), (99, "write"), (99, "flip"), (99, "note"),
     (99, "collect"), (99, "read runs"), (99, "read rows"), (99, "change run"), (99, "move pointer"),
     (99, "record batch"), (99, "begin batch"), (99, "list batches"), (99, "swap runs"), (99, "delete run"),
     (99, "withdraw"), (99, "merge"), (99, "list runs"), (999, "")]
)  # fmt: skip
"""How far something goes: so many steps, or until its next step of a kind."""


class Histories(RuleBasedStateMachine):
    """Uploads, events, crashes, zombies, redrives, recomputations, purges and readers, interleaved; then rest."""

    code: ClassVar[Code] = Code()

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.code)

    @initialize(
        throttle_every=st.sampled_from([0, 0, 2, 5]),
        unreadable_every=st.sampled_from([0, 0, 2]),
        has_catalogue=st.booleans(),
    )
    def begin(self, throttle_every: int, unreadable_every: int, has_catalogue: bool) -> None:
        self.world = World(self.code, throttle_every, unreadable_every)
        if has_catalogue:
            self._start(self.world.upload("raw/songs/songs.csv", "songs", CATALOGUES[0]))
            self.world.come_to_rest()

    @rule(
        plays=st.lists(st.sampled_from(PLAYS), min_size=1, max_size=4),
        key=st.sampled_from(KEYS),
        is_valid=st.sampled_from([True, True, True, False, None]),
        steps=STEPS,
    )
    def a_stream_file_arrives(self, plays: list[Play], key: str, is_valid: bool | None, steps: tuple[int, str]) -> None:
        self._go_on(self._start(self.world.upload(key, "streams", plays, is_valid=is_valid)), steps)

    @rule(plays=st.lists(st.sampled_from(PLAYS), min_size=2, max_size=6), key=st.sampled_from(KEYS), steps=STEPS)
    def a_file_arrives_in_two_parts_in_one_batch(self, plays: list[Play], key: str, steps: tuple[int, str]) -> None:
        parts = [self.world.upload(key, "streams", part) for part in (plays[::2], plays[1::2])]
        self._go_on(self._start(*parts), steps)

    @rule(catalogue=st.sampled_from(CATALOGUES), steps=STEPS)
    def a_catalogue_arrives(self, catalogue: tuple[Song, ...], steps: tuple[int, str]) -> None:
        self._go_on(self._start(self.world.upload("raw/songs/songs.csv", "songs", catalogue)), steps)

    @rule(users=st.sampled_from(USERS), plays=st.lists(st.sampled_from(PLAYS), max_size=2), steps=STEPS)
    def users_arrive_with_plays(self, users: tuple[User, ...], plays: list[Play], steps: tuple[int, str]) -> None:
        files = [self.world.upload("raw/users/users.csv", "users", users)]
        files += [self.world.upload(KEYS[0], "streams", plays)] if plays else []
        self._go_on(self._start(*files), steps)

    @precondition(lambda self: self.world.files)
    @rule(data=st.data(), key=st.sampled_from(KEYS), steps=STEPS)
    def the_same_bytes_arrive_again(self, data: st.DataObject, key: str, steps: tuple[int, str]) -> None:
        file = data.draw(st.sampled_from(list(self.world.files.values())))
        key = key if file.dataset == "streams" else file.key
        again = self.world.upload(key, file.dataset, file.rows)
        self._go_on(self._start(again), steps)

    @precondition(lambda self: self.world.files)
    @rule(data=st.data(), steps=STEPS)
    def an_event_comes_twice(self, data: st.DataObject, steps: tuple[int, str]) -> None:
        file = data.draw(st.sampled_from(list(self.world.files.values())))
        self._go_on(self._start(file), steps)

    @precondition(lambda self: self._acting())
    @rule(data=st.data(), steps=STEPS)
    def something_goes_on(self, data: st.DataObject, steps: tuple[int, str]) -> None:
        self._go_on(data.draw(st.sampled_from(self._acting())), steps)

    @precondition(lambda self: len(self._acting()) > 1)
    @rule(data=st.data(), steps=STEPS, more=STEPS)
    def one_goes_on_and_then_another(self, data: st.DataObject, steps: tuple[int, str], more: tuple[int, str]) -> None:
        one, other = data.draw(st.permutations(self._acting()))[:2]
        self._go_on(one, steps)
        self._go_on(other, more)

    @precondition(lambda self: self._acting())
    @rule(data=st.data())
    def something_is_killed(self, data: st.DataObject) -> None:
        self.world.crash(data.draw(st.sampled_from(self._acting())))

    @precondition(lambda self: self._executing())
    @rule(data=st.data(), steps=STEPS)
    def a_job_is_given_up_for_dead_and_run_again(self, data: st.DataObject, steps: tuple[int, str]) -> None:
        execution = data.draw(st.sampled_from(self._executing()))
        self.world.give_up(execution)
        self.world.begin(execution)
        self._go_on(execution, steps)

    @precondition(lambda self: self._stopped())
    @rule(data=st.data(), steps=STEPS)
    def something_is_redriven(self, data: st.DataObject, steps: tuple[int, str]) -> None:
        work = data.draw(st.sampled_from(self._stopped()))
        self.world.begin(work)
        self._go_on(work, steps)

    @precondition(lambda self: self.world.ledger.dates())
    @rule(data=st.data(), steps=STEPS)
    def days_are_recomputed(self, data: st.DataObject, steps: tuple[int, str]) -> None:
        dates = data.draw(st.sets(st.sampled_from(self.world.ledger.dates()), min_size=1))
        execution = self.world.execution(recompute=sorted(dates))
        self.world.begin(execution)
        self._go_on(execution, steps)

    @rule(user_id=st.sampled_from(USER_IDS), steps=STEPS)
    def a_user_is_purged(self, user_id: str, steps: tuple[int, str]) -> None:
        purge = Purge(user_id)
        self.world.begin(purge)
        self._go_on(purge, steps)

    @precondition(lambda self: self._stream_files())
    @rule(data=st.data(), is_withdrawn=st.sampled_from([True, True, False]), steps=STEPS)
    def a_file_is_withdrawn_or_restored(self, data: st.DataObject, is_withdrawn: bool, steps: tuple[int, str]) -> None:
        """A file that was never withdrawn may be restored: that changes nothing."""
        withdrawing = Withdrawing(data.draw(st.sampled_from(self._stream_files())), is_withdrawn)
        self.world.begin(withdrawing)
        self._go_on(withdrawing, steps)

    @rule(
        plays=st.lists(st.sampled_from(PLAYS), min_size=1, max_size=4),
        key=st.sampled_from(KEYS),
        is_purge=st.booleans(),
        steps=STEPS,
        more=STEPS,
    )
    def an_operator_acts_while_a_file_is_loaded(
        self, plays: list[Play], key: str, is_purge: bool, steps: tuple[int, str], more: tuple[int, str]
    ) -> None:
        """The file is withdrawn, or the user of its first play is purged: begun, overtaken by the file, and ended."""
        file = self.world.upload(key, "streams", plays)
        execution = self._start(file)
        self._go_on(execution, steps)
        command = Purge(plays[0].user_id) if is_purge else Withdrawing(file, is_withdrawn=True)
        self.world.begin(command)
        self._go_on(command, more)
        self._go_on(execution, (999, ""))
        self._go_on(command, (999, ""))

    @rule(steps=STEPS)
    def leftovers_are_collected(self, steps: tuple[int, str]) -> None:
        collecting = Collecting()
        self.world.begin(collecting)
        self._go_on(collecting, steps)

    @precondition(lambda self: self.world.ledger.dates())
    @rule(data=st.data(), steps=STEPS)
    def somebody_reads_a_day(self, data: st.DataObject, steps: tuple[int, str]) -> None:
        reading = Reading(data.draw(st.sampled_from(self.world.ledger.dates())))
        self.world.begin(reading)
        self._go_on(reading, steps)

    def teardown(self) -> None:
        try:
            self.world.come_to_rest()
            self.world.check_at_rest()
        finally:
            self.world.close()

    def _start(self, *files: FileVersion) -> Execution:
        execution = self.world.execution(*files)
        self.world.begin(execution)
        return execution

    def _go_on(self, work: Work, steps: tuple[int, str]) -> None:
        self.world.advance(work, *steps)

    def _stream_files(self) -> list[FileVersion]:
        return [file for file in self.world.files.values() if file.dataset == "streams"]

    def _acting(self) -> list[Any]:
        return [work for work in self.world.work if work.actor]

    def _executing(self) -> list[Execution]:
        return [work for work in self._acting() if isinstance(work, Execution)]

    def _stopped(self) -> list[Any]:
        return [work for work in self.world.work if work.state != "finished" and not work.actor]


def run_histories(code: Code, profile: settings) -> None:
    """Runs random histories on some code.

    Raises:
        LawBrokenError: a history broke the law; Hypothesis prints the shortest one that it found.
    """
    machine = type("Histories", (Histories,), {"code": code})
    with small_numbers(code):
        run_state_machine_as_test(machine, settings=profile)
