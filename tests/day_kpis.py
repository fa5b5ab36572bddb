"""The oracle's flat rows as the KPI job holds them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from glue_scripts.kpi_items import DayKpis

_NOT_IN_ROWS: Final = ("pk", "sk", "genre_pk", "claim", "computed_at")


def days_of(
    rows: Iterable[Mapping[str, Any]], unknown_tracks: Mapping[str, Sequence[str] | None] | None = None
) -> dict[str, DayKpis]:
    """Days by date.

    Args:
        rows: SUMMARY, GENRE#… and HOUR#…#GENRE#…, of the oracle or of `kpis.json`, in any order.
        unknown_tracks: by date, the played tracks that no song has, None where there are too many to list; without it
            there are too many on every day.
    """
    days: dict[str, DayKpis] = {}
    genres: dict[tuple[str, str], dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: (row["date"], row["sk"] != "SUMMARY", row["sk"])):
        if row["sk"] == "SUMMARY":
            unknown = None if unknown_tracks is None else unknown_tracks[row["date"]]
            days[row["date"]] = DayKpis(without(row, "pk", "sk", "genre_pk", "claim"), [], unknown)
        elif row["sk"].startswith("GENRE#"):
            genre = genres[row["date"], row["genre"]] = {**without(row, *_NOT_IN_ROWS), "hours": {}}
            days[row["date"]].genres.append(genre)
        else:
            measures = without(row, *_NOT_IN_ROWS, "date", "genre", "hour")
            genres[row["date"], row["genre"]]["hours"][row["hour"]] = measures
    return days


def without(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The other attributes."""
    return {name: value for name, value in row.items() if name not in names}
