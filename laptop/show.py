"""The tables at the end of a run."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import zip_longest
from typing import IO, Any

from rich.console import Console, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from laptop.collect import Email
from laptop.pipeline import FILE_KEY_PREFIX, SUCCEEDED, Answers

GENRES_SHOWN = 3
EMAIL_LINES = 18

LOG_WIDTH = 120
"""Columns where the output is not a terminal."""

Row = Mapping[str, Any]


def data_console(file: IO[str] | None = None) -> Console:
    """A console that prints data as it is: `[b]` in a name is no markup, and `:x:` no emoji."""
    is_terminal = (file or sys.stdout).isatty()
    return Console(file=file, width=None if is_terminal else LOG_WIDTH, markup=False, emoji=False, highlight=False)


def executions_table(executions: Sequence[Row]) -> Table:
    """One row per execution with its outcome."""
    table = Table(title="Executions", title_justify="left")
    for heading in ("execution", "status", "seconds", "outcome"):
        table.add_column(heading, justify="right" if heading == "seconds" else "left")
    for execution in executions:
        table.add_row(execution["name"], execution["status"], _seconds(execution), _outcome(execution))
    return table


def files_table(answers: Answers) -> Table:
    """One row per file with its ledger status and, of a rejected one, why."""
    reasons = rejection_reasons(answers.executions)
    table = Table(title="Files", title_justify="left")
    for heading in ("file", "status", "why"):
        table.add_column(heading)
    for ledger_key, status in sorted(answers.file_statuses.items()):
        key = ledger_key.removeprefix(FILE_KEY_PREFIX).rpartition("#")[0]
        table.add_row(key, status, "\n".join(reasons.get(key, [])))
    return table


def rejection_reasons(executions: Sequence[Row]) -> dict[str, list[str]]:
    """Why files were rejected, by key, as the executions' outputs tell."""
    outputs = [json.loads(execution["output"]) for execution in executions if execution["status"] == SUCCEEDED]
    return {file["key"]: file["reasons"] for output in outputs for file in output["rejected"]}


def email_panels(emails: Sequence[Email]) -> list[Panel]:
    """Every e-mail's subject and first lines."""
    return [
        Panel(
            Text(_head(email.message), no_wrap=True, overflow="ellipsis"), title=Text(email.subject), title_align="left"
        )
        for email in emails
    ]


def kpi_tables(rows: Sequence[Row]) -> Iterator[RenderableType]:
    """The tables of every day."""
    for summary in (row for row in rows if row["sk"] == "SUMMARY"):
        day_rows = [row for row in rows if row["pk"] == summary["pk"]]
        yield summary_table(summary)
        yield genres_table(summary, day_rows)
        if summary["top_genres"]:
            yield hours_table(summary["top_genres"][0]["genre"], day_rows)


def summary_table(summary: Row) -> Table:
    """The figures of one day."""
    table = Table(title=f"KPIs of {summary['date']}", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_row("plays", str(summary["listens"]))
    table.add_row("active listeners", str(summary["unique_listeners"]))
    table.add_row("plays per listener", str(summary["listens_per_listener"]))
    table.add_row("listening time", _duration(summary["listening_time_ms"]))
    table.add_row("plays of unknown tracks", str(summary["unknown_track_plays"]))
    countries = sorted(summary["listens_by_country"].items(), key=lambda item: (-item[1], item[0]))
    table.add_row("plays by country", ", ".join(f"{country} {listens}" for country, listens in countries[:8]))
    table.add_row("top genres", ", ".join(f"{top['rank']}. {top['genre']}" for top in summary["top_genres"]))
    return table


def genres_table(summary: Row, day_rows: Sequence[Row]) -> Table:
    """The day's top genres with their top songs."""
    table = Table(title=f"Genres of {summary['date']}", title_justify="left")
    table.add_column("genre")
    for heading in ("plays", "listeners", "time", "per listener"):
        table.add_column(heading, justify="right")
    table.add_column("top songs (plays)")
    by_key = {row["sk"]: row for row in day_rows}
    for top in summary["top_genres"][:GENRES_SHOWN]:
        row = by_key[f"GENRE#{top['genre']}"]
        songs = (
            f"{song['rank']}. {song['track_name'] or song['track_id']} ({song['listens']})" for song in row["top_songs"]
        )
        table.add_row(row["genre"], *_figures(row), "\n".join(songs))
    return table


def hours_table(genre: str, day_rows: Sequence[Row]) -> Table:
    """One genre, hour by hour, in two halves side by side."""
    rows = sorted((row for row in day_rows if row["sk"].startswith("HOUR#") and row["genre"] == genre), key=_hour)
    cells = [(_hour(row), *_figures(row)) for row in rows]
    half = (len(cells) + 1) // 2
    table = Table(title=f"Hours of {genre}", title_justify="left")
    for heading in ("hour", "plays", "listeners", "time", "per listener") * 2:
        table.add_column(heading, justify="right")
    for left, right in zip_longest(cells[:half], cells[half:], fillvalue=()):
        table.add_row(*left, *right)
    return table


def _hour(row: Row) -> str:
    return str(row["hour"])


def _song(song: Row) -> str:
    return f"{song['rank']}. {song['track_name'] or song['track_id']} ({song['listens']})"


def _figures(row: Row) -> tuple[str, str, str, str]:
    return (
        str(row["listens"]),
        str(row["unique_listeners"]),
        _duration(row["listening_time_ms"]),
        _duration(row["avg_listening_time_ms_per_user"]),
    )


def _duration(milliseconds: float) -> str:
    seconds = round(milliseconds / 1000)
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _seconds(execution: Row) -> str:
    started, stopped = execution["startDate"], execution["stopDate"]
    if not isinstance(stopped, datetime):
        return ""
    return f"{(stopped - started).total_seconds():.0f}"


def _outcome(execution: Row) -> str:
    if execution["status"] == SUCCEEDED:
        output = json.loads(execution["output"])
        return ", ".join(f"{len(output[kind])} {kind}" for kind in ("accepted", "rejected", "skipped") if output[kind])
    return " ".join(str(execution[field]) for field in ("error", "cause") if execution[field])[:500]


def _head(message: str) -> str:
    lines = message.splitlines()
    return "\n".join(lines[:EMAIL_LINES] + (["…"] if len(lines) > EMAIL_LINES else []))
