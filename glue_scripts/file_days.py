"""The days of which a run has plays of a file: by them, a file that was withdrawn or restored is computed again.

`curated/files/<file>/<run>.json`, written before anything names the run. The file's name is `objects.file_name`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from glue_scripts.names import FILES_PREFIX

FILE_DAYS_FORMAT = "file-days/1"


@dataclass(frozen=True)
class FileDays:
    """The days of a file in one run.

    Attributes:
        file: the file's hash.
        run: the run's name.
        dates: yyyy-mm-dd, ascending. Some 10,000 at most, because no play is older than FIRST_DATE.
    """

    file: str
    run: str
    dates: Sequence[str]

    @property
    def key(self) -> str:
        """The key of the document."""
        return f"{files_prefix(self.file)}{self.run}.json"

    def document(self) -> dict[str, Any]:
        """Return the document, for `objects.json_line`; `objects.read_json` checks its format."""
        return {"format": FILE_DAYS_FORMAT, "file": self.file, "run": self.run, "dates": list(self.dates)}

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> FileDays:
        """Take over what `document` gave."""
        return cls(document["file"], document["run"], document["dates"])


def files_prefix(file: str) -> str:
    """Return the prefix of the documents of a file, one for each run that has plays of it."""
    return f"{FILES_PREFIX}{file}/"


def run_of_file_days(key: str) -> str:
    """Return the run of a document, by its key."""
    return key.rpartition("/")[2].removesuffix(".json")
