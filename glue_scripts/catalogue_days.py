"""The days that a new songs snapshot may change: they have plays of tracks that only the new snapshot knows."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import islice

from glue_scripts.ledger import Snapshot
from glue_scripts.publication import MAX_DAYS_AT_ONCE, Publisher, read_days, unpublished

KnownTracks = Callable[[Snapshot, Collection[str]], Collection[str]]
"""From a songs snapshot and track ids: those that it has."""


def days_to_compute(publisher: Publisher, known_tracks: KnownTracks) -> list[str]:
    """Days that the current songs snapshot may change, by ascending date. Called after it has become the current one.

    - A day whose latest claim is not visible: its job may have read the pointer before.
    - A day of another snapshot that has plays of unknown tracks, if the current one knows one of the tracks, or there
      are too many to tell. A day of the current snapshot is left out: so a run that follows one that died goes on
      where that one ended.
    """
    claimed, visible = read_days(publisher.ledger, publisher.kpi_table)
    songs = publisher.ledger.current_snapshot("songs")
    due = set(unpublished(claimed, visible))
    if songs is None:
        return sorted(due)
    versions = iter(
        (date, day.version)
        for date, day in visible.items()
        if date not in due and day.unknown_plays and day.made_of["snapshots"].get("songs") != songs.file
    )
    # A day's unknown tracks take 200 KB at most.
    while some := dict(islice(versions, MAX_DAYS_AT_ONCE)):
        unknown = publisher.kpi_table.unknown_tracks(some)
        known = set(known_tracks(songs, {track for tracks in unknown.values() for track in tracks or ()}))
        due |= {date for date, tracks in unknown.items() if tracks is None or not known.isdisjoint(tracks)}
    return sorted(due)
