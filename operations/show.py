"""What the commands print."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from operations.days import ComputedDay
from operations.files import KnownFile
from operations.kpis import DayRows
from operations.output import add_row, data_table, lines
from operations.purge import Removed
from operations.status import FINAL_DAYS, REJECTED_LISTED, Status

LISTED: Final = 20
"""How many names of a kind are printed; `--json` has more."""


def status_tables(found: Status) -> Iterator[RenderableType]:
    """What needs attention is red. Names come below the tables, each in a line of its own, so that it can be copied."""
    files = data_table("Files", "status", "files", "which")
    for name, keys in found.unfinished_files.items():
        add_row(files, name, str(len(keys)), "all")
    for name, count in found.final_files.items():
        add_row(files, name, str(count), f"uploaded in the last {FINAL_DAYS} days")
    yield files
    yield _state(found)
    since = [f"begun at {purge.begun_at}: repeat its purge-user command" for purge in found.purges]
    yield from _listed("Unfinished purges", since, is_wrong=True)
    incomplete = [f"begun at {one.begun_at}: {one.objects} objects" for one in found.incomplete_purges]
    yield from _listed("Purges that could not work on some objects, and are to be repeated", incomplete, is_wrong=True)
    failed = [
        f"{execution.name} {execution.status} {execution.stopped} {execution.error or ''}" for execution in found.failed
    ]
    yield from _listed("Executions that failed and were not redriven", failed, is_wrong=True)
    yield from _listed("Running executions", found.running)
    yield from _listed("Job runs", found.job_runs)
    for name, keys in found.unfinished_files.items():
        yield from _listed(f"Files {name}, as key#version", keys)
    at_least = "; raw/ holds so much that there may be more" if found.has_more_forgotten else ""
    withdrawn = [_file(file) for file in found.withdrawn_files]
    yield from _listed("Withdrawn files, as key#version: their plays are left out", withdrawn)
    yield from _listed(
        f"Files in raw/ that the ledger does not know, as key#version: replay --forgotten starts them{at_least}",
        found.forgotten_files,
        is_wrong=True,
    )
    rejected = [f"{file.key}#{file.version_id} {file.uploaded_at}" for file in found.rejected_files]
    yield from _listed(
        f"Files REJECTED, the latest uploads first, {REJECTED_LISTED:,} at most, as key#version",
        rejected,
        more="--json lists them with their executions; their reports are in error/",
    )


def files_tables(heading: str, found: Sequence[KnownFile]) -> Iterator[RenderableType]:
    """Files, each in a line of its own, so that key and version can be copied."""
    if not found:
        yield lines(f"{heading}: none.")
    yield from _all(heading, [_file(file) for file in found])


def _file(file: KnownFile) -> str:
    parts = [file.status or "not begun", f"uploaded {file.uploaded_at}", file.withdrawal]
    return f"{file.key}#{file.version_id} {', '.join(part for part in parts if part)}"


def leftovers_table(by_kind: Mapping[str, Mapping[str, int]]) -> Table:
    """What nobody reads any more in the lake."""
    table = data_table("Leftovers in the lake", "what", "runs", "object versions", "bytes")
    for kind, heading in (("merged", "runs that were merged"), ("dead", "runs of dead jobs")):
        count = by_kind[kind]
        add_row(table, heading, *(f"{count[name]:,}" for name in ("runs", "objects", "bytes")))
    return table


def _state(found: Status) -> Table:
    table = data_table("State", "what", "how many", "which")
    pipe_runs = found.pipe == "RUNNING"
    add_row(
        table,
        "pipe",
        lines(found.pipe, style="" if pipe_runs else "red"),
        "" if pipe_runs else "uploads wait in the queue",
    )
    add_row(table, "days ever computed", str(found.days), "")
    add_row(table, "days not published", *_named(found.days_not_published, style="red"))
    outdated = [f"{date} ({', '.join(older)})" for date, older in found.outdated_days.items()]
    add_row(table, "outdated days", *_named(outdated, hint="recompute --outdated computes them:"))
    unknown = [f"{date} ({plays} plays)" for date, plays in found.days_with_unknown_tracks.items()]
    add_row(table, "days with unknown tracks", *_named(unknown))
    add_row(table, "uploads in the queue", str(found.queued), "")
    add_row(table, "dead letters", *_number(found.dead_letters, "replay --dead-letters"))
    add_row(table, "failures without e-mail", *_number(found.notifier_dead_letters, "see docs/runbook.md"))
    return table


def days_tables(days: Sequence[ComputedDay]) -> Iterator[RenderableType]:
    """Days with their version, and the snapshots that they were computed with: each set of snapshots once."""
    table = data_table("Days", "day", "published version", "plays", "unknown plays")
    for day in days:
        add_row(table, day.date, str(day.version), str(day.plays), str(day.unknown_plays))
    yield table
    by_snapshots: dict[tuple[str, ...], list[str]] = {}
    for day in days:
        if day.plays:
            by_snapshots.setdefault(tuple(sorted(day.snapshots.values())), []).append(day.date)
    for uris, dates in by_snapshots.items():
        which = "All" if len(by_snapshots) == 1 else _range(dates)
        yield from _listed(f"{which} computed with the snapshots", uris or ["none: there is no catalogue yet"])


def _range(dates: Sequence[str]) -> str:
    return dates[0] if len(dates) == 1 else f"{len(dates)} days from {dates[0]} to {dates[-1]}"


def removed_tables(removed: Removed) -> Iterator[RenderableType]:
    """What a purge removed."""
    table = data_table("Removed", "where", "rows", "object versions")
    for prefix in sorted(removed.versions):
        add_row(table, prefix, str(removed.rows[prefix]), str(removed.versions[prefix]))
    yield table if removed.versions else "Nothing held this person."
    yield from _all("Deleted as a whole, because they could not be read row by row", removed.unreadable)
    yield from _all("Their names hold the id; only a deletion by hand removes it", removed.named)
    yield from _all(
        "Broken gzip: what could be unpacked does not hold the id, the rest nobody can read", removed.broken
    )
    if removed.days:
        yield from days_tables(removed.days)
    failed = [f"{one.key}#{one.version_id}: {one.reason}" for one in removed.failed]
    yield from _all("NOT PURGED, as key#version: they may hold the person still", failed)


def kpi_tables(rows: DayRows) -> Iterator[RenderableType]:
    """SUMMARY first."""
    yield lines(f"{rows.date}: {_state_of(rows)}", style="" if rows.version >= rows.claim else "red")
    if rows.summary is None:
        yield from ["No plays."] if rows.version else []
    else:
        yield _summary(rows.summary)
        snapshots = {dataset: rows.summary[f"{dataset}_snapshot"] for dataset in ("songs", "users")}
        yield from _listed("Computed with the snapshots", [uri for uri in snapshots.values() if uri])
    if rows.genres:
        table = data_table("Genres", "genre", *_FIGURES, "top songs (plays)")
        for row in rows.genres:
            songs = (
                f"{song['rank']}. {song['track_name'] or song['track_id']} ({song['listens']})"
                for song in row["top_songs"]
            )
            add_row(table, row["genre"], *_figures(row), lines(*songs))
        yield table
    if rows.hours:
        table = data_table("Hours", "hour", "genre", *_FIGURES)
        for row in rows.hours:
            add_row(table, row["hour"], row["genre"], *_figures(row))
        yield table


_FIGURES = ("plays", "listeners", "time", "per listener", "per play")


def _summary(summary: Mapping[str, Any]) -> Table:
    table = data_table("SUMMARY", "what", "value")
    add_row(table, "plays", str(summary["listens"]))
    add_row(table, "active listeners", str(summary["unique_listeners"]))
    add_row(table, "plays per listener", str(summary["listens_per_listener"]))
    add_row(table, "listening time", _duration(summary["listening_time_ms"]))
    add_row(table, "plays of unknown tracks", str(summary["unknown_track_plays"]))
    top = (f"{genre['rank']}. {genre['genre']} ({genre['listens']})" for genre in summary["top_genres"])
    add_row(table, "top genres", lines(*top))
    countries = sorted(summary["listens_by_country"].items(), key=lambda item: (-item[1], item[0]))
    add_row(table, "plays by country", ", ".join(f"{country} {listens}" for country, listens in countries))
    add_row(table, "computed", f"{summary['computed_at']}, version {summary['version']}")
    return table


def _state_of(rows: DayRows) -> str:
    if not rows.version:
        return "the first computation is under way, no KPIs yet: see `status`"
    if rows.version < rows.claim:
        return f"version {rows.version} is visible, a later computation ({rows.claim}) is under way: see `status`"
    return f"published, version {rows.version}"


def _figures(row: Mapping[str, Any]) -> tuple[str, ...]:
    times = ("listening_time_ms", "avg_listening_time_ms_per_user", "avg_listening_time_ms_per_play")
    return str(row["listens"]), str(row["unique_listeners"]), *(_duration(row[name]) for name in times)


def _duration(milliseconds: float) -> str:
    seconds = round(milliseconds / 1000)
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def shortened(names: Sequence[str], *, more: str = "--json lists all") -> list[str]:
    """The first names of a list, and how many more there are.

    Args:
        names: all of them.
        more: where the others stand.
    """
    left = [f"and {len(names) - LISTED} more: {more}"] if len(names) > LISTED else []
    return [*names[:LISTED], *left]


def _listed(
    heading: str,
    names: Sequence[str],
    *,
    is_wrong: bool = False,
    more: str = "--json lists all",
) -> Iterator[Text]:
    if not names:
        return
    yield lines(f"{heading} ({len(names)}):", style="red" if is_wrong else "")
    yield lines(*(f"  {name}" for name in shortened(names, more=more)))


def _all(heading: str, names: Sequence[str]) -> Iterator[Text]:
    """A purge is over when it tells: nothing else lists them later."""
    if names:
        yield lines(f"{heading} ({len(names)}):", *(f"  {name}" for name in names))


def _named(names: Sequence[str], *, style: str = "", hint: str = "") -> tuple[Text, Text]:
    hints = [hint] if names and hint else []
    return lines(str(len(names)), style=style if names else ""), lines(*hints, *shortened(names))


def _number(count: int, hint: str) -> tuple[Text, str]:
    return lines(str(count), style="red" if count else ""), hint if count else ""
