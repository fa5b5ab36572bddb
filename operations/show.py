"""What the commands print."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from glue_scripts.ledger import Day
from operations.kpis import DayRows
from operations.purge import Removed
from operations.status import Status

LISTED = 20


def status_tables(found: Status) -> Iterator[RenderableType]:
    """What needs attention is red."""
    files = _table("Files", "status", "files")
    for name, count in found.files.items():
        files.add_row(name, str(count))
    yield files
    table = _table("State", "what", "how many", "which")
    if found.purges:
        since = ", ".join(purge.begun_at for purge in found.purges)
        table.add_row("unfinished purges", *_attention([f"begun {since}: repeat purge-user"]))
    pipe = Text(found.pipe, style="" if found.pipe == "RUNNING" else "red")
    table.add_row("pipe", pipe, "" if found.pipe == "RUNNING" else "uploads wait in the queue")
    table.add_row("days ever computed", str(found.days), "")
    table.add_row("days not published", *_attention(found.days_not_published))
    table.add_row("days on older snapshots", *_plain(found.days_on_older_snapshots))
    unknown = [f"{date} ({plays} plays)" for date, plays in found.days_with_unknown_tracks.items()]
    table.add_row("days with unknown tracks", *_plain(unknown))
    table.add_row("uploads in the queue", str(found.queued), "")
    table.add_row("dead letters", *_number(found.dead_letters, "replay --dead-letters"))
    table.add_row("failures without e-mail", *_number(found.notifier_dead_letters, "see docs/runbook.md"))
    table.add_row("running executions", *_plain(found.running))
    table.add_row("job runs", *_plain(found.job_runs))
    failed = [
        f"{execution.name} {execution.status} {execution.stopped} {execution.error or ''}" for execution in found.failed
    ]
    table.add_row("failed, not redriven", *_attention(failed))
    for name, keys in found.unfinished_files.items():
        if keys:
            table.add_row(f"files {name}", *_plain(keys))
    yield table


def days_table(days: Sequence[Day]) -> Table:
    """Days with their claim and what they were computed with."""
    table = _table("Days", "day", "claim", "published", "unknown plays", "snapshots")
    for day in days:
        snapshots = "\n".join(day.snapshots.values())
        table.add_row(day.date, str(day.claim), _published(day), str(day.unknown_plays), Text(snapshots))
    return table


def removed_tables(removed: Removed) -> Iterator[RenderableType]:
    """What a purge removed."""
    table = _table("Removed", "where", "rows", "object versions")
    for prefix in sorted(removed.versions):
        table.add_row(prefix, str(removed.rows[prefix]), str(removed.versions[prefix]))
    yield table if removed.versions else "Nothing held this person."
    for heading, keys in (
        ("Deleted as a whole, because they could not be read row by row:", removed.unreadable),
        ("Their names hold the id; only a deletion by hand removes it:", removed.named),
    ):
        if keys:
            yield Text("\n  ".join([heading, *keys]))
    if removed.days:
        yield days_table(removed.days)


def kpi_tables(rows: DayRows) -> Iterator[RenderableType]:
    """SUMMARY first."""
    day = rows.day
    yield Text(f"{day.date}: {_published(day).plain}", style="" if day.is_published else "red")
    if rows.summary is None:
        yield "No plays."
    else:
        yield _summary(rows.summary)
    if rows.genres:
        table = _table("Genres", "genre", *_FIGURES, "top songs (plays)")
        for row in rows.genres:
            songs = (
                f"{song['rank']}. {song['track_name'] or song['track_id']} ({song['listens']})"
                for song in row["top_songs"]
            )
            table.add_row(Text(row["genre"]), *_figures(row), Text("\n".join(songs)))
        yield table
    if rows.hours:
        table = _table("Hours", "hour", "genre", *_FIGURES)
        for row in rows.hours:
            table.add_row(row["hour"], Text(row["genre"]), *_figures(row))
        yield table


_FIGURES = ("plays", "listeners", "time", "per listener", "per play")


def _summary(summary: Mapping[str, Any]) -> Table:
    table = _table("SUMMARY", "what", "value")
    table.add_row("plays", str(summary["listens"]))
    table.add_row("active listeners", str(summary["unique_listeners"]))
    table.add_row("plays per listener", str(summary["listens_per_listener"]))
    table.add_row("listening time", _duration(summary["listening_time_ms"]))
    table.add_row("plays of unknown tracks", str(summary["unknown_track_plays"]))
    top = (f"{genre['rank']}. {genre['genre']} ({genre['listens']})" for genre in summary["top_genres"])
    table.add_row("top genres", Text("\n".join(top)))
    countries = sorted(summary["listens_by_country"].items(), key=lambda item: (-item[1], item[0]))
    table.add_row("plays by country", Text(", ".join(f"{country} {listens}" for country, listens in countries)))
    table.add_row("songs snapshot", Text(str(summary["songs_snapshot"])))
    table.add_row("users snapshot", Text(str(summary["users_snapshot"])))
    table.add_row("computed", f"{summary['computed_at']} by claim {summary['claim']}")
    return table


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _published(day: Day) -> Text:
    if day.is_published:
        return Text(f"published, claim {day.claim}")
    return Text(
        f"being computed: claim {day.claim} is begun, rows are those of claim {day.published} or partly newer", "red"
    )


def _figures(row: Mapping[str, Any]) -> tuple[str, ...]:
    times = ("listening_time_ms", "avg_listening_time_ms_per_user", "avg_listening_time_ms_per_play")
    return str(row["listens"]), str(row["unique_listeners"]), *(_duration(row[name]) for name in times)


def _duration(milliseconds: float) -> str:
    seconds = round(milliseconds / 1000)
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _plain(which: Sequence[str]) -> tuple[Text, Text]:
    more = [f"and {len(which) - LISTED} more: --json lists all"] if len(which) > LISTED else []
    return Text(str(len(which))), Text("\n".join([*which[:LISTED], *more]))


def _attention(which: Sequence[str]) -> tuple[Text, Text]:
    count, names = _plain(which)
    return Text(count.plain, "red" if which else ""), names


def _number(count: int, hint: str) -> tuple[Text, str]:
    return Text(str(count), "red" if count else ""), hint if count else ""
