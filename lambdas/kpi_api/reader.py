"""Reads of a day, each of one version, even if another version is published meanwhile.

A day's SUMMARY names the visible version. The rows of that version, and of the one that was visible before it, are
neither changed nor deleted. So if rows are missing and SUMMARY still names the version, the version has no such rows.
If SUMMARY names another version, the rows may have been deleted, and the read starts over with the new version.
"""

from __future__ import annotations

from collections.abc import Mapping

from lambdas.kpi_api.parameters import WHOLE, Span
from lambdas.kpi_api.problems import BusyError, DayChangedError, UnknownDayError, UnknownGenreError
from lambdas.kpi_api.store import MAX_KEYS, Page, Row, Store

MAX_DAYS = 366
"""So many days of the index does one request look at, at most."""
MAX_TRIES = 5
"""So often does one request read rows of a day, whose version changes each time before they are read."""


class Reader:
    """Reads days and genres.

    Every function about a day raises UnknownDayError where the day has no plays, or has lost them meanwhile. Every
    function raises BusyError where days change faster than it reads them, and what the store raises.

    Args:
        store: where the rows are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def summary(self, date: str) -> Row:
        """A day's SUMMARY, consistently read."""
        summary = self._store.summary(date)
        if summary is None:
            raise UnknownDayError(date)
        return summary

    def genre(self, summary: Row, genre: str) -> tuple[Row, Row]:
        """A genre's row of a day.

        Args:
            summary: of the day, just read.
            genre: whose row is wanted.

        Returns:
            The SUMMARY that names the row's version, and the row.

        Raises:
            UnknownGenreError: the day has no plays of the genre.
        """
        date = summary["date"]
        for _ in range(MAX_TRIES):
            row = self._store.genre(date, summary["version"], genre)
            if row is not None:
                return summary, row
            before, summary = summary, self.summary(date)
            if summary["version"] == before["version"]:
                raise UnknownGenreError(genre, date)
        raise _changes_too_fast(date)

    def first_genres(self, summary: Row, *, limit: int) -> tuple[Row, Page]:
        """A day's genres, the first page.

        Args:
            summary: of the day, just read.
            limit: how many at most.

        Returns:
            The SUMMARY that names the rows' version, and the page.
        """
        date = summary["date"]
        for _ in range(MAX_TRIES):
            page = self._store.genres(date, summary["version"], after=None, limit=limit)
            if len(page.rows) == summary["genre_rows"]:
                return summary, page
            before, summary = summary, self.summary(date)
            if summary["version"] == before["version"]:
                return summary, page
        raise _changes_too_fast(date)

    def next_genres(self, summary: Row, *, after: str, limit: int) -> Page:
        """A day's genres, a page after the first.

        Args:
            summary: of the day, just read.
            after: the genre that the page before ended with.
            limit: how many at most.

        Raises:
            DayChangedError: another version is visible, so rows may be missing in this page.
        """
        page = self._store.genres(summary["date"], summary["version"], after=after, limit=limit)
        # Rows may be missing in the middle, which no count of a part of all rows would tell.
        if self.summary(summary["date"])["version"] != summary["version"]:
            raise DayChangedError(summary["date"])
        return page

    def days(self, days: Span, *, limit: int) -> Page:
        """The totals of days, newest first, each of a version of its own; from the index, which lags."""
        return self._store.days(days, limit=limit)

    def series(self, genre: str, days: Span, *, limit: int) -> Page:
        """A genre's days, newest first, each of a version of its own.

        Args:
            genre: whose days are wanted.
            days: among which.
            limit: how many at most; fewer where MAX_DAYS do not hold so many with plays of the genre. The next page
                begins after the last day that was looked at.
        """
        rows: list[Row] = []
        looked_at, due = 0, limit
        while True:
            listed = self._store.listed_versions(days, limit=min(due, MAX_DAYS - looked_at))
            versions = {day["date"]: day["version"] for day in listed.rows}
            found = self._genre_days(genre, versions)
            rows += [found[date] for date in versions if date in found]
            if len(rows) > limit:
                return Page(rows[:limit], rows[limit - 1]["date"])
            looked_at += len(versions)
            if len(rows) == limit or looked_at == MAX_DAYS or listed.next_after is None:
                return Page(rows, listed.next_after)
            # A genre with plays on all days needs no more than one look; one with gaps gets whole batches.
            days, due = days.before(listed.next_after), MAX_KEYS

    def has_genre(self, genre: str) -> bool:
        """Whether the latest MAX_DAYS days hold plays of a genre."""
        return bool(self.series(genre, WHOLE, limit=1).rows)

    def _genre_days(self, genre: str, versions: Mapping[str, int]) -> dict[str, Row]:
        """A genre's rows by date, of the given versions of days or of later ones."""
        found: dict[str, Row] = {}
        for _ in range(MAX_TRIES):
            found |= self._store.genre_days(genre, versions)
            visible = self._store.visible_versions(date for date in versions if date not in found)
            versions = {date: version for date, version in visible.items() if version != versions[date]}
            if not versions:
                return found
        raise _changes_too_fast(", ".join(versions))


def _changes_too_fast(dates: str) -> BusyError:
    return BusyError(f"{dates} was computed again and again while it was read")
