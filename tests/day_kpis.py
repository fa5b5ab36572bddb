"""The oracle's flat rows as the KPI job holds them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from glue_scripts.kpi_items import DayKpis


def days_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, DayKpis]:
    """Days by date, from rows SUMMARY, GENRE#… and HOUR#…#GENRE#…, in any order."""
    rows = sorted(rows, key=lambda row: (row["date"], row["sk"] != "SUMMARY", row["sk"]))
    days: dict[str, DayKpis] = {}
    genres: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        values = {name: value for name, value in row.items() if name not in ("pk", "sk", "genre_pk")}
        if row["sk"] == "SUMMARY":
            days[row["date"]] = DayKpis(values, [])
        elif row["sk"].startswith("GENRE#"):
            genre = {**values, "hours": {}}
            genres[row["date"], row["genre"]] = genre
            days[row["date"]].genres.append(genre)
        else:
            hours = genres[row["date"], row["genre"]]["hours"]
            hours[row["hour"]] = {
                name: value for name, value in values.items() if name not in ("date", "genre", "hour")
            }
    return days
