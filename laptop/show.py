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

from laptop.collect import Email
from laptop.pipeline import SUCCEEDED, Answers
from operations import output
from operations.output import add_row, data_table, lines

GENRES_SHOWN = 3
EMAIL_LINES = 18

LOG_WIDTH = 120
"""Columns where the output is not a terminal."""

Row = Mapping[str, Any]


def data_console(file: IO[str] | None = None) -> Console:
    """A console as wide as the terminal, or as LOG_WIDTH where there is none."""
    is_terminal = (file or sys.stdout).isatty()
    return output.data_console(file, width=None if is_terminal else LOG_WIDTH)


def executions_table(executions: Sequence[Row]) -> Table:
    """One row per execution with its outcome."""
    table = data_table("Executions", "execution", "status", "seconds", "outcome")
    for execution in executions:
        add_row(table, execution["name"], execution["status"], _seconds(execution), _outcome(execution))
    return table


def files_table(answers: Answers) -> Table:
    """One row per file with its ledger status and, of a rejected one, why."""
    reasons = rejection_reasons(answers.executions)
    table = data_table("Files", "file", "status", "why")
    for (key, _), status in sorted(answers.file_statuses.items()):
        add_row(table, key, status, lines(*reasons.get(key, [])))
    return table


def rejection_reasons(executions: Sequence[Row]) -> dict[str, list[str]]:
    """Why files were rejected, by key, as the executions' outputs tell."""
    outputs = [json.loads(execution["output"]) for execution in executions if execution["status"] == SUCCEEDED]
    return {file["key"]: file["reasons"] for output in outputs for file in output["rejected"]}


def email_panels(emails: Sequence[Email]) -> list[Panel]:
    """Every e-mail's subject and first lines."""
    return [Panel(lines(*_head(email.message)), title=lines(email.subject), title_align="left") for email in emails]


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
    table = data_table(f"KPIs of {summary['date']}", "what", "value")
    add_row(table, "plays", str(summary["listens"]))
    add_row(table, "active listeners", str(summary["unique_listeners"]))
    add_row(table, "plays per listener", str(summary["listens_per_listener"]))
    add_row(table, "listening time", _duration(summary["listening_time_ms"]))
    add_row(table, "plays of unknown tracks", str(summary["unknown_track_plays"]))
    countries = sorted(summary["listens_by_country"].items(), key=lambda item: (-item[1], item[0]))
    add_row(table, "plays by country", ", ".join(f"{country} {listens}" for country, listens in countries[:8]))
    add_row(table, "top genres", ", ".join(f"{top['rank']}. {top['genre']}" for top in summary["top_genres"]))
    return table


def genres_table(summary: Row, day_rows: Sequence[Row]) -> Table:
    """The day's top genres with their top songs."""
    headings = ("genre", *_FIGURES, "top songs (plays)")
    table = data_table(f"Genres of {summary['date']}", *headings, right=_FIGURES)
    by_key = {row["sk"]: row for row in day_rows}
    for top in summary["top_genres"][:GENRES_SHOWN]:
        row = by_key[f"GENRE#{top['genre']}"]
        songs = (
            f"{song['rank']}. {song['track_name'] or song['track_id']} ({song['listens']})" for song in row["top_songs"]
        )
        add_row(table, row["genre"], *_figures(row), lines(*songs))
    return table


def hours_table(genre: str, day_rows: Sequence[Row]) -> Table:
    """One genre, hour by hour, in two halves side by side."""
    rows = sorted((row for row in day_rows if row["sk"].startswith("HOUR#") and row["genre"] == genre), key=_hour)
    cells = [(_hour(row), *_figures(row)) for row in rows]
    half = (len(cells) + 1) // 2
    headings = ("hour", *_FIGURES)
    table = data_table(f"Hours of {genre}", *headings * 2, right=headings)
    for left, right in zip_longest(cells[:half], cells[half:], fillvalue=()):
        add_row(table, *left, *right)
    return table


_FIGURES = ("plays", "listeners", "time", "per listener")


def _hour(row: Row) -> str:
    return str(row["hour"])


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
        if "parts" in output:
            return f"divided into {len(output['parts'])} executions"
        return ", ".join(f"{len(output[kind])} {kind}" for kind in ("accepted", "rejected", "skipped") if output[kind])
    return " ".join(str(execution[field]) for field in ("error", "cause") if execution[field])[:500]


def _head(message: str) -> list[str]:
    found = message.rstrip("\n").split("\n")
    return found[:EMAIL_LINES] + (["…"] if len(found) > EMAIL_LINES else [])
