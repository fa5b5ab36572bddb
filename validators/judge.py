"""Rows judged by the rules: what `rules` says of each row, as SQL that DuckDB runs on the texts of its fields.

The tables that the SQL sees:

    texts   one row for each row of the pieces: piece, row, lines, is_malformed, and `<column>_text` (VARCHAR) for each
            column of the dataset
    pieces  piece, uploaded (TIMESTAMP, UTC)
    noted   piece, row: the rows that break a rule or that a warning is about
    judged  one row for each noted row: piece, row, lines, the typed columns, a boolean named after each row rule and
            each warning about rows, and is_broken: whether it breaks a row rule
    valid   file, and the typed columns, of the rows that break no row rule: all rows of a file that share an id
    songs   track_id of the known tracks; users: user_id of the known users
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
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
from validators.rules import Rule, Severity, rules_of
from validators.schemas import REQUIRED_COLUMNS

REPEATED_HEADER: Final = "repeated_header"
WARNINGS_OF_SNAPSHOTS: Final = {"songs": "unknown_track", "users": "unknown_user"}
"""By the snapshot that it needs."""

GENRES_SQL: Final = """
SELECT file, count(DISTINCT track_genre)::BIGINT AS genres, max(genres_of_track)::BIGINT AS genres_of_track
FROM (SELECT *, count(DISTINCT track_genre) OVER (PARTITION BY file, track_id) AS genres_of_track FROM valid)
GROUP BY file
"""
"""How many genres a songs file has, and how many the track with the most of them has."""


@dataclass(frozen=True)
class Judged:
    """What the rules say of the rows of some pieces.

    Attributes:
        counts: by piece: `rows`, `quarantined`, how many rows break each row rule, by its id, and how many of the
            others each warning about rows is about. A row that breaks a rule counts as many rows as it has lines.
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
    max_broken: int,
) -> Judged:
    """Judges each row of some pieces, of one file or of many.

    Args:
        db: a `judging_connection`. Its temporary table `judged` is replaced.
        dataset: the dataset.
        pieces: the rows.
        uploaded: by piece, when its file was uploaded.
        max_broken: how many of the broken rows of each piece are returned.
    """
    tables = {
        "texts": pa.concat_tables(_texts(number, piece, dataset) for number, piece in enumerate(pieces)),
        "pieces": _pieces(uploaded),
    }
    for name, table in tables.items():
        db.register(name, table)
    rules = [rule.id for rule in rules_of(dataset, Severity.QUARANTINE_ROW)]
    screened = db.sql(screened_sql(dataset)).to_arrow_table()
    db.register("noted", screened.filter(screened["is_noted"]).select(["piece", "row"]))
    good = screened.filter(pc.invert(screened["is_noted"])).drop_columns(["row", "is_noted"])
    db.execute(judged_sql(dataset))
    found = db.sql(broken_sql(rules), params={"max_broken": max_broken}).to_arrow_table()
    warned = db.sql(f"SELECT piece, {', '.join(REQUIRED_COLUMNS[dataset])} FROM judged WHERE NOT is_broken")
    judged = Judged(
        counts=_counts(db, dataset, pieces, good["piece"]),
        broken=[
            broken_rows(piece, found.filter(pc.equal(found["piece"], number)), dataset)
            for number, piece in enumerate(pieces)
        ],
        valid=pa.concat_tables([good, warned.to_arrow_table()]),
    )
    for name in (*tables, "noted"):
        db.unregister(name)
    return judged


def _counts(
    db: duckdb.DuckDBPyConnection, dataset: str, pieces: Sequence[Piece], pieces_of_good: pa.ChunkedArray
) -> list[dict[str, int]]:
    """Count the rows of `judged` and the good rows, as `Judged.counts`.

    Args:
        db: the connection that has `judged`.
        dataset: the dataset.
        pieces: the pieces.
        pieces_of_good: the number of the piece of each good row.
    """
    rules = [rule.id for rule in rules_of(dataset, Severity.QUARANTINE_ROW)]
    noted = _rows_by_name(db.sql(counts_sql(rules, [rule.id for rule in row_warnings(dataset)])))
    good = np.bincount(pieces_of_good.to_numpy(), minlength=len(pieces)).tolist()
    return [
        {**counts, "rows": counts["rows"] + rows, REPEATED_HEADER: piece.repeated_headers}
        for counts, rows, piece in zip(noted, good, pieces, strict=True)
    ]


def screened_sql(dataset: str) -> str:
    """Types the columns, and flags the rows that break a rule or that a warning is about.

    `judged_sql` asks these few rows which rules they break. Asking all rows takes half as long again.
    """
    rules = (*rules_of(dataset, Severity.QUARANTINE_ROW), *row_warnings(dataset))
    is_noted = " OR ".join(f"({rule.sql})" for rule in rules)
    columns = ", ".join(REQUIRED_COLUMNS[dataset])
    return f"SELECT piece, row, {columns}, ({is_noted}) IS TRUE AS is_noted FROM ({_typed_sql(dataset)})"


def judged_sql(dataset: str) -> str:
    """Types the columns and asks each rule: makes `judged` of `texts`, `pieces` and `noted`."""
    rules = rules_of(dataset, Severity.QUARANTINE_ROW)
    asked = [f"({_condition(rule)}) IS TRUE AS {rule.id}" for rule in (*rules, *row_warnings(dataset))]
    columns = ", ".join(REQUIRED_COLUMNS[dataset])
    return f"""
        CREATE OR REPLACE TEMP TABLE judged AS
        WITH asked AS (
            SELECT piece, row, lines, {columns}, {", ".join(asked)}
            FROM ({_typed_sql(dataset)} SEMI JOIN noted USING (piece, row)))
        SELECT *, {" OR ".join(rule.id for rule in rules)} AS is_broken FROM asked
    """


def _typed_sql(dataset: str) -> str:
    typed = ", ".join(f"{type_}({column}_text) AS {column}" for column, type_ in TYPES[dataset].items())
    return f"SELECT texts.*, uploaded, {typed} FROM texts JOIN pieces USING (piece)"


def _condition(rule: Rule) -> str:
    return rule.sql if rule.id == "malformed_row" else f"NOT is_malformed AND ({rule.sql})"


def counts_sql(rules: Sequence[str], warnings: Sequence[str]) -> str:
    """How many rows each piece has, and how many each rule is about: a row for each piece, also for one without rows.

    Args:
        rules: the ids of the row rules.
        warnings: the ids of the warnings about rows.
    """
    failed = [f"coalesce(sum(lines) FILTER ({rule}), 0)::BIGINT AS {rule}" for rule in rules]
    failed += [f"count(*) FILTER (NOT is_broken AND {warning}) AS {warning}" for warning in warnings]
    return f"""
        SELECT coalesce(sum(CASE WHEN is_broken THEN lines WHEN NOT is_broken THEN 1 END), 0)::BIGINT AS rows,
               coalesce(sum(lines) FILTER (is_broken), 0)::BIGINT AS quarantined, {", ".join(failed)}
        FROM pieces LEFT JOIN judged USING (piece) GROUP BY piece ORDER BY piece
    """


def broken_sql(rules: Sequence[str]) -> str:
    """The first rows of each piece that break a rule, and the ids of the rules."""
    broken = ", ".join(f"CASE WHEN {rule} THEN '{rule}' END" for rule in rules)
    return f"""
        SELECT piece, row, lines, list_filter([{broken}], lambda rule: rule IS NOT NULL) AS rules
        FROM judged WHERE is_broken
        QUALIFY row_number() OVER (PARTITION BY piece ORDER BY row) <= $max_broken ORDER BY piece, row
    """


def row_warnings(dataset: str) -> list[Rule]:
    """The warnings of a dataset that are asked of each row."""
    return [rule for rule in rules_of(dataset, Severity.WARN) if rule.sql]


def warnings_of(dataset: str, snapshots: Collection[str]) -> list[Rule]:
    """The warnings of a dataset that can be counted.

    Args:
        dataset: the dataset.
        snapshots: the datasets (songs, users) whose ids are known. Only they give warnings of unknown ids.
    """
    asking = {rule_id for name, rule_id in WARNINGS_OF_SNAPSHOTS.items() if name not in snapshots}
    return [rule for rule in rules_of(dataset, Severity.WARN) if rule.id not in asking]


def warnings_sql(warnings: Sequence[Rule]) -> str:
    """How many rows of `valid` each warning with an aggregate is about: a row for each file that has any."""
    counts = [f"({rule.aggregate})::BIGINT AS {rule.id}" for rule in warnings if rule.aggregate]
    return f"SELECT file, {', '.join(counts)} FROM valid GROUP BY file"


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
