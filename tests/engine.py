"""The engine of the KPI job on a folder in place of a bucket."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.folder_objects import FolderObjects
from glue_scripts.sql_engine import SqlEngine
from tests.stored import share

if TYPE_CHECKING:
    from pyspark import SparkContext

BUCKET = "data"


def no_spark() -> SparkContext:
    raise AssertionError("few plays need no Spark")


def engine_on(
    folder: Path,
    *,
    objects: FolderObjects | None = None,
    context: Callable[[], SparkContext] = no_spark,
    top_songs: int = 3,
    top_genres: int = 5,
) -> SqlEngine:
    """An engine; `objects` are those of the folder if not given."""
    return SqlEngine(
        objects=objects or FolderObjects(folder),
        context=context,
        top_songs=top_songs,
        top_genres=top_genres,
        share=share(folder.parent),
    )
