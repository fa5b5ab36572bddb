"""Rows judged by the rules: what `rules` says of each row, as SQL that DuckDB runs on the texts of its fields.

The tables that the SQL sees:

    texts   one row for each row of the pieces: piece, row, lines, is_malformed, and `<column>_text` (VARCHAR) for each
            column of the dataset
    pieces  piece, uploaded (TIMESTAMP, UTC)
    judged  one row for each row of texts: piece, row, lines, the typed columns, a boolean named after each row rule,
            and is_broken: whether it breaks any
    valid   piece and the typed columns of the rows that break no row rule
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from validators.broken_rows import broken_rows
from validators.closed_duckdb import Share, closed_connection
from validators.columns import MACROS, TYPES
from validators.csv_pieces import Piece
from validators.rules import RULES_BY_ID, Rule, Severity, rules_of
from validators.schemas import REQUIRED_COLUMNS

WARNINGS_OF_SNAPSHOTS: Final = {"songs": "unknown_track", "users": "unknown_user"}
"""By the snapshot that it needs."""

_GENRES: Final = """
SELECT piece, count(DISTINCT track_genre) AS genres, max(genres_of_track) AS genres_of_track
FROM (SELECT *, count(DISTINCT track_genre) OVER (PARTITION BY piece, track_id) AS genres_of_track FROM valid)
GROUP BY piece ORDER BY piece
"""


@dataclass(frozen=True)
class Judged:
    """What the rules say of the rows of some pieces.

    Attributes:
        counts: by piece: `rows`, `quarantined`, how many rows break each row rule, by its id, and how many valid rows
            each warning is about for which there is a snapshot. A row that breaks a rule counts as many rows as it has
            lines.
        broken: by piece, the first rows that break a row rule: see `broken_rows`.
        valid: `piece` (int32, the number of the piece) and the typed columns of the dataset, in no particular order.
    """

    counts: list[dict[str, int]]
    broken: list[pa.Table]
    valid: pa.Table


@contextmanager
def judging_connection(share: Share) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a closed connection that knows how texts become values: it defines `columns.MACROS`, once for all pieces.

    Args:
        share: what the connection may use of the machine.
    """
    with closed_connection(share) as db:
        for macro in MACROS:
            db.execute(macro)
        yield db


def judge(
    db: duckdb.DuckDBPyConnection,
    dataset: str,
    pieces: Sequence[Piece],
    *,
    uploaded: Sequence[datetime],
    snapshots: Mapping[str, pa.Table],
    max_broken: int,
) -> Judged:
    """Judges each row of some pieces, of one file or of many.

    Args:
        db: a `judging_connection`. Its temporary table `judged` is replaced.
        dataset: the dataset.
        pieces: the rows.
        uploaded: by piece, when its file was uploaded.
        snapshots: by dataset (songs, users), a table with the ids that are known; without it, there is no warning.
        max_broken: how many of the broken rows of each piece are returned.
    """
    tables = {
        "texts": pa.concat_tables(_texts(number, piece, dataset) for number, piece in enumerate(pieces)),
        "pieces": _pieces(uploaded),
        **snapshots,
    }
    for name, table in tables.items():
        db.register(name, table)
    rules = [rule.id for rule in rules_of(dataset, Severity.QUARANTINE_ROW)]
    db.execute(judged_sql(dataset))
    counts = _rows_by_name(db.sql(counts_sql(rules)))
    warnings = [RULES_BY_ID[WARNINGS_OF_SNAPSHOTS[name]] for name in snapshots]
    if warnings:
        for row, warned in zip(counts, _rows_by_name(db.sql(warnings_sql(dataset, warnings))), strict=True):
            row.update(warned)
    found = db.sql(broken_sql(rules), params={"max_broken": max_broken}).to_arrow_table()
    valid = db.sql(f"SELECT piece, {', '.join(REQUIRED_COLUMNS[dataset])} FROM judged WHERE NOT is_broken")
    judged = Judged(
        counts=counts,
        broken=[
            broken_rows(piece, found.filter(pc.equal(found["piece"], number)), dataset)
            for number, piece in enumerate(pieces)
        ],
        valid=valid.to_arrow_table(),
    )
    for name in tables:
        db.unregister(name)
    return judged


def judged_sql(dataset: str) -> str:
    """Types the columns and asks each rule: makes `judged` of `texts` and `pieces`."""
    rules = rules_of(dataset, Severity.QUARANTINE_ROW)
    typed = [f"{type_}({column}_text) AS {column}" for column, type_ in TYPES[dataset].items()]
    asked = [f"({_condition(rule)}) IS TRUE AS {rule.id}" for rule in rules]
    columns = ", ".join(REQUIRED_COLUMNS[dataset])
    return f"""
        CREATE OR REPLACE TEMP TABLE judged AS
        WITH typed AS (SELECT texts.*, uploaded, {", ".join(typed)} FROM texts JOIN pieces USING (piece)),
             asked AS (SELECT piece, row, lines, {columns}, {", ".join(asked)} FROM typed)
        SELECT *, {" OR ".join(rule.id for rule in rules)} AS is_broken FROM asked
    """


def _condition(rule: Rule) -> str:
    return rule.sql if rule.id == "malformed_row" else f"NOT is_malformed AND ({rule.sql})"


def counts_sql(rules: Sequence[str]) -> str:
    """How many rows each piece has, and how many break each rule: a row for each piece, also for one without rows."""
    failed = [f"coalesce(sum(lines) FILTER ({rule}), 0)::BIGINT AS {rule}" for rule in rules]
    return f"""
        SELECT coalesce(sum(CASE WHEN is_broken THEN lines WHEN NOT is_broken THEN 1 END), 0)::BIGINT AS rows,
               coalesce(sum(lines) FILTER (is_broken), 0)::BIGINT AS quarantined, {", ".join(failed)}
        FROM pieces LEFT JOIN judged USING (piece) GROUP BY piece ORDER BY piece
    """


def warnings_sql(dataset: str, warnings: Sequence[Rule]) -> str:
    """How many valid rows each warning is about: a row for each piece, also for one without rows."""
    asked = ", ".join(f"{warning.sql} AS {warning.id}" for warning in warnings)
    columns = ", ".join(REQUIRED_COLUMNS[dataset])
    named = ", ".join(f"coalesce({warning.id}, 0)::BIGINT AS {warning.id}" for warning in warnings)
    return f"""
        WITH valid AS (SELECT piece, {columns} FROM judged WHERE NOT is_broken),
             warned AS (SELECT piece, {asked} FROM valid GROUP BY piece)
        SELECT {named} FROM pieces LEFT JOIN warned USING (piece) ORDER BY piece
    """


def broken_sql(rules: Sequence[str]) -> str:
    """The first rows of each piece that break a rule, and the ids of the rules."""
    broken = ", ".join(f"CASE WHEN {rule} THEN '{rule}' END" for rule in rules)
    return f"""
        SELECT piece, row, lines, list_filter([{broken}], lambda rule: rule IS NOT NULL) AS rules
        FROM judged WHERE is_broken
        QUALIFY row_number() OVER (PARTITION BY piece ORDER BY row) <= $max_broken ORDER BY piece, row
    """


def count_duplicates(db: duckdb.DuckDBPyConnection, valid: pa.Table) -> dict[int, int]:
    """By piece, how many of its valid rows the warning `duplicate_rows` is about.

    It does not add up: all rows of a file must be of one piece.

    Args:
        db: a closed connection.
        valid: what `Judged.valid` has.
    """
    db.register("valid", valid)
    counts = db.sql(f"SELECT piece, {RULES_BY_ID['duplicate_rows'].sql} FROM valid GROUP BY piece").fetchall()
    db.unregister("valid")
    return dict(counts)


def count_genres(db: duckdb.DuckDBPyConnection, valid: pa.Table) -> list[tuple[int, int, int]]:
    """By piece of a songs file: its number, its genres, and the genres of the track that has the most."""
    db.register("valid", valid)
    counts = db.sql(_GENRES).fetchall()
    db.unregister("valid")
    return counts


def _rows_by_name(relation: duckdb.DuckDBPyRelation) -> list[dict[str, int]]:
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def _pieces(uploaded: Sequence[datetime]) -> pa.Table:
    moments = [moment.astimezone(UTC).replace(tzinfo=None) for moment in uploaded]
    return pa.table(
        {"piece": pa.array(range(len(moments)), pa.int32()), "uploaded": pa.array(moments, pa.timestamp("us"))}
    )


def _texts(number: int, piece: Piece, dataset: str) -> pa.Table:
    columns = REQUIRED_COLUMNS[dataset]
    texts = {column: piece.column(column) for column in columns}
    nothing = dict.fromkeys(columns, pa.nulls(len(piece.malformed), pa.string()))
    parts = [_rows_of_texts(number, piece.numbers, piece.line_counts, texts, is_malformed=False)]
    if len(piece.malformed):
        lines = piece.malformed_line_counts
        parts.append(_rows_of_texts(number, piece.malformed, lines, nothing, is_malformed=True))
    return pa.concat_tables(parts)


def _rows_of_texts(
    piece: int, rows: npt.NDArray[np.int64], lines: pa.Array, texts: Mapping[str, pa.Array], *, is_malformed: bool
) -> pa.Table:
    return pa.table(
        {
            "piece": pa.array(np.full(len(rows), piece, np.int32)),
            "row": pa.array(rows),
            "lines": lines,
            "is_malformed": pa.array(np.full(len(rows), is_malformed)),
            **{f"{column}_text": text for column, text in texts.items()},
        }
    )
