"""The command that takes the README's pictures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.kpi_api.rows import flat_rows

REPOSITORY = Path(__file__).parents[2]
PNG = b"\x89PNG\r\n\x1a\n"


def take(rows: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.kpi_api.screenshots", str(rows), str(folder)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def test_it_takes_a_picture_of_a_day_and_of_a_genre(tmp_path: Path) -> None:
    rows = tmp_path / "kpis.json"
    rows.write_text(json.dumps(flat_rows(), default=float), encoding="utf-8")

    ended = take(rows, tmp_path)

    assert ended.returncode == 0, ended.stderr
    pictures = {path.name: path.read_bytes() for path in tmp_path.glob("*.png")}
    assert pictures.keys() == {"kpi-page-day.png", "kpi-page-genre.png"}
    assert all(content.startswith(PNG) for content in pictures.values())


def test_it_says_what_to_do_first(tmp_path: Path) -> None:
    ended = take(tmp_path / "kpis.json", tmp_path)

    assert ended.returncode == 1
    assert ended.stderr.strip().endswith("is not there: «make run INPUT=<folder>» writes it.")
