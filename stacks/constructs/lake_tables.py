"""What lies under quality/ and curated/, as tables of Hive: columns, partitions, formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from glue_scripts import names


@dataclass(frozen=True, kw_only=True)
class FileFormat:
    """How files are read.

    Attributes:
        input_format: Class of Hadoop.
        output_format: Class of Hadoop; nothing is written through these tables, but Hive wants one.
        serde: Class that makes rows.
    """

    input_format: str
    output_format: str
    serde: str


JSON_LINES: Final = FileFormat(
    input_format="org.apache.hadoop.mapred.TextInputFormat",
    output_format="org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
    serde="org.openx.data.jsonserde.JsonSerDe",
)
"""https://docs.aws.amazon.com/athena/latest/ug/openx-json-serde.html: a JSON document a line."""
PARQUET: Final = FileFormat(
    input_format="org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    output_format="org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    serde="org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
)


@dataclass(frozen=True, kw_only=True)
class LakeTable:
    """A table.

    Attributes:
        name: Its name.
        description: What a row is.
        prefix: Where it lies in the bucket.
        folder: Folder of a partition under the prefix, with `${column}` for each partition column; what lies deeper is
            read, too.
        columns: Name and Hive type of what stands in the files.
        partitions: By partition column, the properties of its projection.
        format: How files are read.
    """

    name: str
    description: str
    prefix: str
    folder: str
    columns: Sequence[tuple[str, str]]
    partitions: Mapping[str, Mapping[str, str]]
    format: FileFormat


def _dates(last: str) -> dict[str, str]:
    return {
        "type": "date",
        "format": "yyyy-MM-dd",
        "interval": "1",
        "interval.unit": "DAYS",
        "range": f"{names.FIRST_DATE},{last}",
    }


_NAME_A_DAY: Final = (
    f"Name the days by a condition on {{}}: without one Athena lists each day since {names.FIRST_DATE}."
)
"""A query's planning lists the prefix of each partition of the projection that its conditions leave."""

_DATASETS: Final = {"type": "enum", "values": ",".join((*names.DATASETS, names.NO_DATASET))}

_RULE_ENTRY: Final = (
    ("rule", "string"),
    ("severity", "string"),
    ("column", "string"),
    ("success", "boolean"),
    ("detail", "string"),
    ("failed", "bigint"),
    ("percent", "double"),
    ("tolerated_percent", "double"),
    ("tolerated_rows", "bigint"),
)
"""Of a rule's entry what can be counted: neither the words about it nor the samples."""

REPORTS: Final = LakeTable(
    name="reports",
    description=f"How each file was judged: a row a file, an entry a rule. {_NAME_A_DAY.format('date')}",
    prefix=names.REPORTS_PREFIX,
    folder="dataset=${dataset}/date=${date}/",
    columns=(
        ("verdict", "string"),
        ("rejected_by", "array<string>"),
        ("key", "string"),
        ("version_id", "string"),
        ("size", "bigint"),
        ("last_modified", "string"),
        ("execution_arn", "string"),
        ("rows", "bigint"),
        ("valid", "bigint"),
        ("quarantined", "bigint"),
        ("rules", f"array<struct<{','.join(f'{name}:{kind}' for name, kind in _RULE_ENTRY)}>>"),
        ("quarantine", "string"),
        ("data_docs", "string"),
    ),
    partitions={"dataset": _DATASETS, "date": _dates("NOW")},
    format=JSON_LINES,
)

QUARANTINE: Final = LakeTable(
    name="quarantine",
    description="Rows that break a rule, at most 100,000 of a file; the file is in the path",
    prefix=names.QUARANTINE_PREFIX,
    folder="${dataset}/",
    columns=(("row", "bigint"), ("lines", "bigint"), ("rules", "array<string>"), ("fields", "array<string>")),
    partitions={"dataset": _DATASETS},
    format=JSON_LINES,
)

PLAYS: Final = LakeTable(
    name="plays",
    description="Raw material: the plays of all runs in the lake, also of runs that are not committed or replaced. "
    "The ledger knows which runs count. A play may stand in several runs, and in a run once for each file that has it: "
    "count distinct user_id, track_id and listen_time, without file, the file's hash. "
    + _NAME_A_DAY.format("listen_date"),
    prefix=names.PLAYS_PREFIX,
    folder="listen_date=${listen_date}/",
    columns=(("user_id", "string"), ("track_id", "string"), ("listen_time", "timestamp"), ("file", "string")),
    # A play may be up to a day later than the upload of its file.
    partitions={"listen_date": _dates("NOW+1DAYS")},
    format=PARQUET,
)

LAKE_TABLES: Final = (REPORTS, QUARANTINE, PLAYS)
