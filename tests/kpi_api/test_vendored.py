"""uPlot lies beside the page as the npm package that package.json pins has it.

To renew it: `npm pack uplot@<version>`, copy the two files of `dist/` and LICENSE, and change the sums here.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "lambdas/kpi_api/page"
SHA256 = {
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "uPlot.LICENSE.txt": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}


@pytest.mark.parametrize("name", SHA256)
def test_a_file_is_the_package_s(name: str) -> None:
    assert hashlib.sha256((PAGE / name).read_bytes()).hexdigest() == SHA256[name]


def test_its_version_is_the_one_that_is_pinned() -> None:
    pinned = json.loads((REPOSITORY / "package.json").read_text("utf-8"))["devDependencies"]["uplot"]

    assert f"(v{pinned})" in (PAGE / "uPlot.iife.min.js").read_text("utf-8").splitlines()[0]
