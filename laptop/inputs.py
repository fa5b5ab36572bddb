"""Which CSV files a run uploads, and where to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from glue_scripts import names

SAMPLES_DIR = Path(".local/samples")
SAMPLES_SEED = 7


class InputError(Exception):
    """The given folder holds nothing to upload: correct the path or the file names and run again."""


@dataclass(frozen=True)
class Input:
    """One file to upload."""

    dataset: str
    path: Path

    @property
    def key(self) -> str:
        """The key that the pipeline's rule listens to."""
        return f"{names.RAW_PREFIX}{self.dataset}/{self.path.name}"


def find_inputs(folder: Path) -> list[Input]:
    """Finds `users*.csv[.gz]`, `songs*.csv[.gz]` and `streams*.csv[.gz]` directly in a folder.

    Returns:
        The reference files first, then the streams, by name within each dataset.

    Raises:
        InputError: there is no such folder, or it holds no such file.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}. Give one that holds the CSV files: make run INPUT=<folder>")
    found = [
        Input(dataset, path)
        for dataset in names.DATASETS
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name.startswith(dataset) and path.name.endswith((".csv", ".csv.gz"))
    ]
    if not found:
        raise InputError(
            f"The folder {folder} holds no users*.csv, songs*.csv or streams*.csv (or .csv.gz). "
            "The beginning of a file's name tells its dataset: rename the files, or give another folder."
        )
    return found
