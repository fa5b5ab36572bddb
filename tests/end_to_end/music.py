"""Small files of one day for the end-to-end tests, and what the oracle makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from samples.generate import MIN_PLAYS, sample_files
from tests import oracle

_FILES = {
    f"{file.expected.dataset}/{name}": file.content
    for name, file in sample_files(seed=3, plays=MIN_PLAYS, days=1, users=30, tracks=20).items()
    if file.expected.outcome == "accepted"
}
REFERENCES = {key: content for key, content in _FILES.items() if not key.startswith("streams/")}
"""The users and the catalogue: bytes by `dataset/name`."""
FIRST_STREAMS, SECOND_STREAMS, *_ = (content for key, content in _FILES.items() if key.startswith("streams/"))
"""Two stream files of the same day; the first is plain text with a line per play."""


def expected_rows(contents: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """What the oracle makes of accepted files, given as `dataset/name` and bytes, in the order of `kpis.json`."""
    of: dict[str, list[bytes]] = {"users": [], "songs": [], "streams": []}
    for name, content in contents.items():
        of[name.partition("/")[0]].append(content)
    now = datetime.now(UTC)
    return oracle.kpi_items(
        [play for content in of["streams"] for play in oracle.parse_streams(content, now)[0]],
        [song for content in of["songs"] for song in oracle.parse_songs(content)[0]],
        [user for content in of["users"] for user in oracle.parse_users(content)[0]],
        top_songs=3,
        top_genres=5,
    )
