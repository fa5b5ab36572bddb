"""Reads files as Athena reads them by a table of the Data Catalog: which are found, and what their columns hold."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow.parquet

JSON_SERDE = "org.openx.data.jsonserde.JsonSerDe"
_PLAIN: dict[str, type | tuple[type, ...]] = {"string": str, "bigint": int, "double": (int, float), "boolean": bool}
_PARQUET = {"string": "string", "timestamp": r"timestamp\[ns\]|timestamp\[us(, tz=UTC)?\]"}


class AthenaTable:
    """A table as `glue:GetTable` shows it.

    Args:
        table: its description.
    """

    def __init__(self, table: Mapping[str, Any]) -> None:
        self._table = table
        descriptor = table["StorageDescriptor"]
        self.location: str = descriptor["Location"]
        self.columns: dict[str, str] = {column["Name"]: column["Type"] for column in descriptor["Columns"]}
        self._is_json = descriptor["SerdeInfo"]["SerializationLibrary"] == JSON_SERDE

    def is_projected(self, uri: str) -> bool:
        """Whether a file lies in, or below, the folder of a partition that the table's properties project."""
        template = re.escape(self._table["Parameters"]["storage.location.template"])
        pattern = re.sub(r"\\\$\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", template)
        found = re.match(pattern, uri)
        return found is not None and all(self._holds(name, value) for name, value in found.groupdict().items())

    def read(self, content: bytes) -> Iterator[tuple[str, Any]]:
        """Every column that is in a file, with its value or its type; fails where that is not the table's.

        Of a struct in an array, the fields are told, too: `rules.failed`.
        """
        if not self._is_json:
            schema = pyarrow.parquet.read_schema(io.BytesIO(content))
            for name, kind in self.columns.items():
                assert re.fullmatch(_PARQUET[kind], str(schema.field(name).type)), f"{name}: {schema.field(name).type}"
                yield name, kind
            return
        for line in content.splitlines():
            document = json.loads(line)  # a document that goes over several lines fails here, as it does in Athena
            for name, kind in self.columns.items():
                if name in document:
                    yield from _conforming(name, document[name], kind)

    def paths(self) -> set[str]:
        """The names that `read` tells if every column, and every field of a struct, is in the files."""
        return {path for name, kind in self.columns.items() for path in _paths(name, kind)}

    def _holds(self, name: str, value: str) -> bool:
        properties = {
            key.removeprefix(f"projection.{name}."): text
            for key, text in self._table["Parameters"].items()
            if key.startswith(f"projection.{name}.")
        }
        if properties["type"] == "enum":
            return value in properties["values"].split(",")
        assert (properties["type"], properties["format"]) == ("date", "yyyy-MM-dd")
        first, _, last = properties["range"].partition(",")
        days = {"NOW": 0, "NOW+1DAYS": 1}[last]
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", value):
            return False
        return date.fromisoformat(first) <= date.fromisoformat(value) <= datetime.now(UTC).date() + timedelta(days=days)


def _conforming(path: str, value: Any, kind: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - any JSON
    yield path, value
    if value is None:
        return
    if kind in _PLAIN:
        assert isinstance(value, _PLAIN[kind]), f"{path}: {value!r} is no {kind}"
    elif kind.startswith("array<"):
        assert isinstance(value, list), path
        for one in value:
            yield from _conforming(path, one, kind.removeprefix("array<")[:-1])
    else:
        for name, inner in _fields(kind).items():
            if name in value:
                yield from _conforming(f"{path}.{name}", value[name], inner)


def _paths(path: str, kind: str) -> Iterator[str]:
    yield path
    if "struct<" in kind:
        yield from (f"{path}.{name}" for name in _fields(kind.removeprefix("array<").removesuffix(">")))


def _fields(struct: str) -> dict[str, str]:
    """Of a struct of plain fields."""
    pairs = (field.split(":") for field in struct.removeprefix("struct<").rstrip(">").split(","))
    return {name: kind for name, kind in pairs}  # noqa: C416 - says what the two are
