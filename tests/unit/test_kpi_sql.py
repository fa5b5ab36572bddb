"""The comment of each query is its contract: it names every column of the result."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pytest

from glue_scripts import kpi_sql
from glue_scripts.count_plays import Catalogue, compute_days, count_bucket
from glue_scripts.kpi_sql import BUCKET_RESULTS, CATALOGUE, DAY_RESULTS, DISTINCT_PLAYS, HALF_UP, KPI_CODE, USERS, Query
from glue_scripts.ledger import NO_TOMBSTONES
from tests.difficult_data import random_data
from tests.stored import plays_of, share, songs_table, users_table
from validators.closed_duckdb import closed_connection

QUERIES = (*CATALOGUE, USERS, DISTINCT_PLAYS, *BUCKET_RESULTS, *DAY_RESULTS)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, pa.Table]]:
    data = random_data(1, plays=50, tracks=10, users=10, countries=3)
    with closed_connection(share(tmp_path_factory.mktemp("duckdb"))) as db:
        Catalogue.of_songs(db, songs_table(data.songs)).register(db)
        found = {query.table: db.table(query.table).to_arrow_table() for query in CATALOGUE}
        db.register("user_rows", users_table(data.users))
        found["users"] = db.sql(USERS.sql).to_arrow_table()
        found |= count_bucket(db, plays_of(data.plays), found["users"], NO_TOMBSTONES)
        found["distinct_plays"] = db.table("distinct_plays").to_arrow_table()
        of_bucket = [(query.table, found[query.table]) for query in BUCKET_RESULTS]
        yield found | compute_days(db, of_bucket, top_songs=3)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.table)
def test_the_comment_names_every_column(query: Query, results: dict[str, pa.Table]) -> None:
    comment = " ".join(re.findall(r"^ *--(.*)$", query.sql, re.MULTILINE))
    table = results[query.table]
    assert table.num_rows > 0
    assert [name for name in table.column_names if not re.search(rf"\b{name}\b", comment)] == []


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.table)
def test_numbers_are_integers(query: Query, results: dict[str, pa.Table]) -> None:
    """A HUGEINT of DuckDB is a decimal of Arrow without digits behind the point."""
    for column in results[query.table].schema:
        assert not pa.types.is_floating(column.type), column
        assert not pa.types.is_decimal(column.type) or column.type.scale == 0, column


def test_no_query_is_pasted_together() -> None:
    assert [query.table for query in QUERIES if "{" in query.sql or "%s" in query.sql] == []


@pytest.mark.parametrize(
    ("total", "count", "hundredths"),
    [(1, 8, 13), (1, 3, 33), (2, 3, 67), (0, 5, 0), (5, 200, 3), (10**18, 3, 33333333333333333333)],
)
def test_ratios_round_half_up_in_integers(tmp_path: Path, total: int, count: int, hundredths: int) -> None:
    with closed_connection(share(tmp_path)) as db:
        db.execute(HALF_UP)
        db.execute("SELECT half_up($total::HUGEINT, $count::HUGEINT)", {"total": total, "count": count})
        assert db.fetchall() == [(hundredths,)]


SOURCE = Path(kpi_sql.__file__).read_text("utf-8")
STATEMENTS = {**{query.table: query.sql for query in QUERIES}, "half_up": HALF_UP}


def code_of(source: str) -> str:
    """The version that a changed module has."""
    module = ModuleType(kpi_sql.__name__)
    exec(source, module.__dict__)
    return str(module.KPI_CODE)


@pytest.mark.parametrize("name", STATEMENTS)
def test_another_statement_is_another_version_of_the_code(name: str) -> None:
    sql = STATEMENTS[name]
    assert SOURCE.count(sql) == 1
    assert code_of(SOURCE.replace(sql, f"{sql} LIMIT 5")) != KPI_CODE


def test_other_rules_in_python_are_another_version_of_the_code() -> None:
    assert "_RULES_IN_PYTHON = 1\n" in SOURCE
    assert code_of(SOURCE.replace("_RULES_IN_PYTHON = 1\n", "_RULES_IN_PYTHON = 2\n")) != KPI_CODE


@pytest.mark.parametrize(
    "change",
    [
        lambda source: source.replace("Every text names its result", "Each text names its result"),
        lambda source: source.replace("        -- ", "        -- In other words: "),
        lambda source: re.sub(r"^ +--.*\n", "", source, flags=re.MULTILINE),
        lambda source: re.sub(r"^        (?=[a-z])", "\t        \n  ", source, flags=re.MULTILINE),
    ],
    ids=["docstring", "comments", "no comments", "white space"],
)
def test_what_computes_the_same_is_the_same_version_of_the_code(change: Callable[[str], str]) -> None:
    assert change(SOURCE) != SOURCE
    assert code_of(change(SOURCE)) == code_of(SOURCE) == KPI_CODE


def test_white_space_at_the_ends_of_a_query_is_no_other_version() -> None:
    stripped = SOURCE
    for query in QUERIES:
        stripped = stripped.replace(query.sql, f"\n{query.sql.strip()}")
    assert stripped != SOURCE
    assert code_of(stripped) == kpi_sql.KPI_CODE
