"""The floor: the same KPIs from the same CSV files by DuckDB.

`python -m benchmarks.duckdb_floor DATA RESULT [LAKE]`
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import duckdb

from benchmarks.kpi_rows import TOP_SONGS, Aggregates, canonical, kpi_rows, write_result

# Valid rows as docs/rules.md has them, as far as the benchmark's files can break a rule.
_PLAYS: Final = """
FROM (
    SELECT trim(user_id) AS user_id, trim(track_id) AS track_id, try_cast(listen_time AS TIMESTAMP) AS moment
    FROM read_csv('{folder}/streams-*.csv', all_varchar = true, header = true)
)
WHERE user_id <> '' AND track_id <> '' AND moment IS NOT NULL
"""
_LAKE_WRITE: Final = f"""
COPY (SELECT *, moment::DATE AS date {_PLAYS}) TO '{{lake}}' (FORMAT parquet, PARTITION_BY (date))
"""
_LAKE: Final = "FROM read_parquet('{lake}/*/*.parquet')"
_INPUT: Final = """
CREATE TABLE counts AS
SELECT strftime(moment, '%Y-%m-%d') AS date, strftime(moment, '%H') AS hour, user_id, track_id, count(*) AS listens
FROM (SELECT DISTINCT user_id, track_id, moment {plays}) GROUP BY ALL;

CREATE TABLE catalogue AS
SELECT trim(track_id) AS track_id, trim(track_genre) AS genre, try_cast(duration_ms AS BIGINT) AS duration_ms,
    left(track_name, 300) AS track_name, left(artists, 300) AS artists
FROM read_csv('{folder}/songs.csv', all_varchar = true, header = true, delim = ',', quote = '"', escape = '"')
WHERE trim(track_id) <> '' AND trim(track_genre) <> '' AND try_cast(duration_ms AS BIGINT) >= 0;

CREATE TABLE tracks AS
SELECT track_id, least.duration_ms, least.track_name, least.artists FROM (
    SELECT track_id, first({{'duration_ms': duration_ms, 'track_name': track_name, 'artists': artists}}
        ORDER BY duration_ms, track_name NULLS FIRST, artists NULLS FIRST) AS least
    FROM catalogue GROUP BY track_id
);
CREATE TABLE genres AS SELECT DISTINCT track_id, genre FROM catalogue;

CREATE TABLE users AS
SELECT trim(user_id) AS user_id, min(nullif(trim(user_country), '')) AS country
FROM read_csv('{folder}/users.csv', all_varchar = true, header = true) GROUP BY ALL;

CREATE TABLE listeners AS
SELECT date, hour, genre, user_id, sum(listens)::BIGINT AS listens, sum(listens * duration_ms)::BIGINT AS time
FROM counts JOIN tracks USING (track_id) JOIN genres USING (track_id) GROUP BY ALL;
"""

_MEASURES: Final = (
    "sum(listens)::BIGINT AS listens, count(DISTINCT user_id) AS unique_listeners, "
    "sum(time)::BIGINT AS listening_time_ms"
)
_HOURS: Final = f"SELECT date, hour, genre, {_MEASURES} FROM listeners GROUP BY ALL"
_GENRES: Final = f"SELECT date, genre, {_MEASURES} FROM listeners GROUP BY ALL"
_SONGS: Final = f"""
SELECT date, genre, rank, track_id, track_name, artists, listens FROM (
    SELECT *, row_number() OVER (PARTITION BY date, genre ORDER BY listens DESC, track_id) AS rank
    FROM (SELECT date, track_id, sum(listens)::BIGINT AS listens FROM counts GROUP BY ALL) JOIN genres USING (track_id)
) JOIN tracks USING (track_id) WHERE rank <= {TOP_SONGS}
"""
_DAYS: Final = """
SELECT date, sum(listens)::BIGINT AS listens, count(DISTINCT user_id) AS unique_listeners,
    coalesce(sum(listens * duration_ms), 0)::BIGINT AS listening_time_ms,
    coalesce(sum(listens) FILTER (duration_ms IS NULL), 0)::BIGINT AS unknown_track_plays
FROM counts LEFT JOIN tracks USING (track_id) GROUP BY ALL
"""
_COUNTRIES: Final = """
SELECT date, coalesce(country, 'unknown') AS country, sum(listens)::BIGINT AS listens
FROM counts LEFT JOIN users USING (user_id) GROUP BY ALL
"""


def compute(folder: Path, lake: Path | None = None) -> list[dict[str, Any]]:
    """All KPI rows of a folder that `dataset.make` has filled.

    Args:
        folder: the CSV files.
        lake: a folder that gets the valid plays, Parquet by date, from which the KPIs are computed; None for the CSV
            files themselves.
    """
    with duckdb.connect() as db:
        if lake:
            db.execute(_LAKE_WRITE.format(folder=folder, lake=lake))
        plays = _LAKE.format(lake=lake) if lake else _PLAYS.format(folder=folder)
        db.execute(_INPUT.format(folder=folder, plays=plays))

        def rows(query: str) -> list[dict[str, Any]]:
            cursor = db.execute(query)
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

        return kpi_rows(
            Aggregates(
                hours=rows(_HOURS),
                genres=rows(_GENRES),
                songs=rows(_SONGS),
                days=rows(_DAYS),
                countries=rows(_COUNTRIES),
            )
        )


if __name__ == "__main__":
    write_result(Path(sys.argv[2]), canonical(compute(Path(sys.argv[1]), *map(Path, sys.argv[3:]))))
