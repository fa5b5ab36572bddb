"""Leaves behind what a run produced: `.local/last_run/`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from glue_scripts import names
from laptop.pipeline import Answers
from local_aws.previous_runs import set_aside


@dataclass(frozen=True)
class Email:
    """One e-mail that the pipeline sent."""

    subject: str
    message: str


@dataclass(frozen=True)
class LastRun:
    """The folder of the latest run.

    `kpis.json` and `executions.json` are lists; `emails/`, `reports/` and `logs/` are copies of what the embedded AWS
    keeps. Whatever the run did not come to is absent. The results of earlier runs are in `previous/` beside the folder.
    """

    folder: Path

    def begin(self) -> Path | None:
        """Start with an empty folder.

        Returns:
            Where the results of an earlier run are now; None if there were none.
        """
        previous = set_aside(self.folder.parent, [self.folder.name])
        self.folder.mkdir(parents=True, exist_ok=True)
        return previous

    def keep_answers(self, answers: Answers) -> None:
        """Writes what the AWS APIs told."""
        self._write("kpis.json", answers.kpi_rows)
        self._write("executions.json", answers.executions)

    def keep_files(self, work_dir: Path, data_bucket: str | None) -> None:
        """Copies e-mails, job logs and, of the data bucket, the reports."""
        _copy(work_dir / "emails", self.folder / "emails")
        _copy(work_dir / "logs", self.folder / "logs")
        if data_bucket is not None:
            _copy(work_dir / "buckets" / data_bucket / names.QUALITY_PREFIX, self.folder / "reports")

    def _write(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        text = json.dumps(rows, indent=1, ensure_ascii=False, default=_iso)
        (self.folder / name).write_text(text + "\n", encoding="utf-8")


def read_emails(work_dir: Path) -> list[Email]:
    """The e-mails that the embedded AWS kept, oldest first."""
    path = work_dir / "emails" / "emails.jsonl"
    if not path.exists():
        return []
    lines = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return [Email(line["subject"], line["message"]) for line in lines]


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)


def _iso(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{value!r} has no place in a JSON file of a run")
