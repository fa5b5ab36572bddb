"""The KPIs as SQL, run by DuckDB. The whole computation is here; Python only brings tables in and takes rows out.

1. REFERENCE: once for each songs or users file. Conflicting rows are resolved, tracks and genres get numbers.
2. BUCKET: for the plays of some users, a bucket. Everything about a user is in one bucket, so each result is a sum over
   users, and the results of buckets add up.
3. DAY: the buckets' results added up, averages, ranks and limits. These are the rows of table `kpis`.

Every text names its result's columns with types and units. In all of them:

- counts and sums are integers and exact. DuckDB's `sum` of integers is a HUGEINT (128 bits), which no number of plays
  can exceed. `::BIGINT` is checked: a value that does not fit is an error and never a wrong number;
- averages and ratios come in hundredths, rounded half up (`half_up`);
- times are in milliseconds; days and hours are UTC's;
- text is compared and ordered by its UTF-8 bytes.

To add a measure, add its column to a BUCKET query and, added up, to the DAY query of the same grain. `KPI_CODE` then
changes, and `recompute --outdated` computes the days that older queries have computed.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Query:
    """A table made by a query.

    Attributes:
        table: the name of the result, for later queries and for Python.
        sql: a SELECT. Its comment is the contract: columns, types, units, what is exact.
    """

    table: str
    sql: str


# 1. REFERENCE
# Given: songs(track_id, track_name, artists, track_genre VARCHAR, duration_ms BIGINT from 0 to 2**31 - 1): the valid
#        rows of a songs file. A track has a row for each of its genres; rows may repeat and may conflict.

CATALOGUE = (
    Query(
        "tracks",
        """
        -- One row per track:
        --   track INTEGER            its number from 0, in the order of track_id
        --   track_id VARCHAR
        --   duration_ms BIGINT       milliseconds
        --   track_name, artists VARCHAR or NULL
        -- Of conflicting rows the least (duration_ms, track_name, artists) holds for all genres of the track; a missing
        -- name is less than any name.
        SELECT
            (row_number() OVER (ORDER BY track_id) - 1)::INTEGER AS track,
            track_id, duration_ms, track_name, artists
        FROM (
            SELECT * FROM songs
            QUALIFY row_number() OVER (
                PARTITION BY track_id
                ORDER BY duration_ms, track_name NULLS FIRST, artists NULLS FIRST
            ) = 1
        )
        ORDER BY track
        """,
    ),
    Query(
        "genres",
        """
        -- One row per genre:
        --   genre INTEGER            its number from 0, in the order of genre_name
        --   genre_name VARCHAR
        SELECT (row_number() OVER (ORDER BY genre_name) - 1)::INTEGER AS genre, genre_name
        FROM (SELECT DISTINCT track_genre AS genre_name FROM songs)
        ORDER BY genre
        """,
    ),
    Query(
        "track_genres",
        """
        -- One row per track and genre of the track:
        --   track, genre INTEGER     their numbers
        SELECT DISTINCT track, genre
        FROM songs JOIN tracks USING (track_id) JOIN genres ON genre_name = track_genre
        ORDER BY track, genre
        """,
    ),
)

# Given: user_rows(user_id, user_country VARCHAR): the valid rows of a users file.

USERS = Query(
    "users",
    """
    -- One row per user:
    --   user_id VARCHAR
    --   user_country VARCHAR or NULL: of conflicting rows the least country
    SELECT user_id, min(user_country) AS user_country
    FROM user_rows GROUP BY user_id
    ORDER BY user_id
    """,
)

# 2. BUCKET
# Given: plays(user_code, track_code INTEGER, listen_time TIMESTAMP in UTC, whole seconds): may repeat.
#        listeners(user_code INTEGER, user_id VARCHAR): the users of the plays, without purged ones.
#        played_tracks(track_code INTEGER, track_id VARCHAR): the tracks of the plays.
#        users(user_id, user_country): at least those of the listeners that the current users file knows.
#        tracks, track_genres: the catalogue, see above.
#        $max_unknown_tracks INTEGER.
# Codes number the ids of this bucket only; `track` and `genre` are the catalogue's numbers.

DISTINCT_PLAYS = Query(
    "distinct_plays",
    """
    -- One row per play, which is a distinct (user, track, second), of users who are not purged:
    --   user_code INTEGER
    --   track INTEGER, duration_ms BIGINT: both NULL if the catalogue does not know the track
    --   day DATE, hour TINYINT from 0 to 23
    SELECT user_code, track, duration_ms, listen_time::DATE AS day, hour(listen_time)::TINYINT AS hour
    FROM (SELECT DISTINCT user_code, track_code, listen_time FROM plays)
    SEMI JOIN listeners USING (user_code)
    JOIN (
        SELECT track_code, track, duration_ms FROM played_tracks LEFT JOIN tracks USING (track_id)
    ) USING (track_code)
    """,
)

BUCKET_RESULTS = (
    Query(
        "genre_hours",
        """
        -- One row per day, hour and genre that has a play:
        --   day DATE, hour TINYINT, genre INTEGER
        --   listens BIGINT           plays of tracks of the genre; a track of two genres counts for both
        --   unique_listeners BIGINT  distinct users
        --   listening_time_ms BIGINT sum of the tracks' durations
        SELECT
            day, hour, genre,
            count(*) AS listens,
            count(DISTINCT user_code) AS unique_listeners,
            sum(duration_ms)::BIGINT AS listening_time_ms
        FROM distinct_plays JOIN track_genres USING (track)
        GROUP BY day, hour, genre
        """,
    ),
    Query(
        "genre_days",
        """
        -- One row per day and genre that has a play:
        --   day DATE, genre INTEGER; listens, unique_listeners, listening_time_ms BIGINT as in genre_hours
        SELECT
            day, genre,
            count(*) AS listens,
            count(DISTINCT user_code) AS unique_listeners,
            sum(duration_ms)::BIGINT AS listening_time_ms
        FROM distinct_plays JOIN track_genres USING (track)
        GROUP BY day, genre
        """,
    ),
    Query(
        "track_days",
        """
        -- One row per day and known track that has a play:
        --   day DATE, track INTEGER
        --   listens BIGINT
        SELECT day, track, count(*) AS listens
        FROM distinct_plays WHERE track IS NOT NULL
        GROUP BY day, track
        """,
    ),
    Query(
        "country_days",
        """
        -- One row per day and country of the listeners; every play counts, its track known or not:
        --   day DATE
        --   country VARCHAR          'unknown' for a user without country or whom the users file does not know
        --   listens BIGINT
        --   unique_listeners BIGINT  distinct users
        --   listening_time_ms BIGINT of the plays of known tracks
        --   unknown_track_plays BIGINT
        SELECT
            day,
            coalesce(user_country, 'unknown') AS country,
            sum(listens)::BIGINT AS listens,
            count(*) AS unique_listeners,
            sum(listening_time_ms)::BIGINT AS listening_time_ms,
            sum(unknown_track_plays)::BIGINT AS unknown_track_plays
        FROM (
            SELECT
                user_code, day,
                count(*) AS listens,
                coalesce(sum(duration_ms), 0) AS listening_time_ms,
                count(*) - count(track) AS unknown_track_plays
            FROM distinct_plays
            GROUP BY user_code, day
        )
        JOIN (SELECT user_code, user_country FROM listeners LEFT JOIN users USING (user_id)) USING (user_code)
        GROUP BY day, country
        """,
    ),
    Query(
        "unknown_track_days",
        """
        -- One row per day and unknown track that has a play; of a day with more than $max_unknown_tracks of them, any
        -- $max_unknown_tracks + 1:
        --   day DATE, track_id VARCHAR
        SELECT day, track_id
        FROM (
            SELECT DISTINCT listen_time::DATE AS day, track_id
            FROM plays
            SEMI JOIN listeners USING (user_code)
            JOIN (SELECT track_code, track_id FROM played_tracks ANTI JOIN tracks USING (track_id)) USING (track_code)
        )
        QUALIFY row_number() OVER (PARTITION BY day) <= $max_unknown_tracks + 1
        """,
    ),
)

# 3. DAY
# Given: genre_hours, genre_days, track_days, country_days, unknown_track_days: the results of all buckets of some days,
#        one after another.
#        tracks, track_genres, genres: the catalogue.
#        $top_songs INTEGER: how many tracks a genre's day ranks. $max_countries, $max_unknown_tracks INTEGER.

HALF_UP = """
    -- total / n in hundredths, rounded half up: floor((200 * total + n) / (2 * n)), in integers of 128 bits.
    CREATE MACRO half_up(total, n) AS (200::HUGEINT * total + n) // (2 * n)
"""

DAY_RESULTS = (
    Query(
        "hour_rows",
        """
        -- The rows HOUR#<hour>#GENRE#<genre>:
        --   day DATE, hour TINYINT, genre_name VARCHAR
        --   listens, unique_listeners, listening_time_ms HUGEINT
        --   avg_listening_time_ms_per_user, avg_listening_time_ms_per_play HUGEINT, hundredths of a millisecond
        SELECT
            day, hour, genre_name, listens, unique_listeners, listening_time_ms,
            half_up(listening_time_ms, unique_listeners) AS avg_listening_time_ms_per_user,
            half_up(listening_time_ms, listens) AS avg_listening_time_ms_per_play
        FROM (
            SELECT
                day, hour, genre,
                sum(listens) AS listens,
                sum(unique_listeners) AS unique_listeners,
                sum(listening_time_ms) AS listening_time_ms
            FROM genre_hours
            GROUP BY day, hour, genre
        ) JOIN genres USING (genre)
        """,
    ),
    Query(
        "genre_rows",
        """
        -- The rows GENRE#<genre>; genre_rank is the genre's place in its day, by listens descending, then genre_name:
        --   day DATE, genre_name VARCHAR, genre_rank BIGINT from 1
        --   listens, unique_listeners, listening_time_ms HUGEINT
        --   avg_listening_time_ms_per_user, avg_listening_time_ms_per_play HUGEINT, hundredths of a millisecond
        SELECT
            day, genre_name,
            row_number() OVER (PARTITION BY day ORDER BY listens DESC, genre) AS genre_rank,
            listens, unique_listeners, listening_time_ms,
            half_up(listening_time_ms, unique_listeners) AS avg_listening_time_ms_per_user,
            half_up(listening_time_ms, listens) AS avg_listening_time_ms_per_play
        FROM (
            SELECT
                day, genre,
                sum(listens) AS listens,
                sum(unique_listeners) AS unique_listeners,
                sum(listening_time_ms) AS listening_time_ms
            FROM genre_days
            GROUP BY day, genre
        ) JOIN genres USING (genre)
        """,
    ),
    Query(
        "top_songs",
        """
        -- The most played tracks of each genre and day, by listens descending, then track_id:
        --   day DATE, genre_name VARCHAR, rank BIGINT from 1 to at most $top_songs
        --   track_id, track_name, artists VARCHAR (the last two may be NULL)
        --   listens HUGEINT
        SELECT day, genre_name, rank, track_id, track_name, artists, listens
        FROM (
            SELECT
                day, genre, track, listens,
                row_number() OVER (PARTITION BY day, genre ORDER BY listens DESC, track) AS rank
            FROM (SELECT day, track, sum(listens) AS listens FROM track_days GROUP BY day, track)
            JOIN track_genres USING (track)
        )
        JOIN tracks USING (track) JOIN genres USING (genre)
        WHERE rank <= $top_songs
        """,
    ),
    Query(
        "country_rows",
        """
        -- The plays of each day by country: the $max_countries with most listens (then by name), the rest as 'other':
        --   day DATE, country VARCHAR
        --   listens HUGEINT
        SELECT day, CASE WHEN rank <= $max_countries THEN country ELSE 'other' END AS country, sum(listens) AS listens
        FROM (
            SELECT
                day, country, sum(listens) AS listens,
                row_number() OVER (PARTITION BY day ORDER BY sum(listens) DESC, country) AS rank
            FROM country_days
            GROUP BY day, country
        )
        GROUP BY ALL
        """,
    ),
    Query(
        "summary_rows",
        """
        -- The rows SUMMARY, one per day that has a play:
        --   day DATE
        --   listens, unique_listeners HUGEINT: of all plays
        --   listens_per_listener HUGEINT, hundredths
        --   listening_time_ms HUGEINT: of the plays of known tracks
        --   unknown_track_plays HUGEINT
        SELECT
            day,
            sum(listens) AS listens,
            sum(unique_listeners) AS unique_listeners,
            half_up(sum(listens), sum(unique_listeners)) AS listens_per_listener,
            sum(listening_time_ms) AS listening_time_ms,
            sum(unknown_track_plays) AS unknown_track_plays
        FROM country_days
        GROUP BY day
        """,
    ),
    Query(
        "unknown_tracks",
        """
        -- The row UNKNOWN_TRACKS: a row here per day and unknown track; none of a day with more than
        -- $max_unknown_tracks:
        --   day DATE, track_id VARCHAR
        SELECT day, track_id
        FROM (SELECT DISTINCT day, track_id FROM unknown_track_days)
        QUALIFY count(*) OVER (PARTITION BY day) <= $max_unknown_tracks
        """,
    ),
)

_RULES_IN_PYTHON = 1
"""Raise it when count_plays or kpi_items make other numbers of the same tables."""


def _code() -> str:
    queries = [query.sql for query in (*CATALOGUE, USERS, DISTINCT_PLAYS, *BUCKET_RESULTS, *DAY_RESULTS)]
    statements = [re.sub(r"\s+", " ", re.sub(r"--.*", "", sql)).strip() for sql in (*queries, HALF_UP)]
    return hashlib.sha256("\n".join([str(_RULES_IN_PYTHON), *statements]).encode()).hexdigest()[:12]


KPI_CODE: Final = _code()
"""The version of the KPI code, which SUMMARY names: a hash of the queries without their comments."""
