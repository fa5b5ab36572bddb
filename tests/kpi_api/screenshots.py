"""Takes the screenshots of the README: `make screenshots`, after `make run` (of which it takes the rows)."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

from playwright.sync_api import Browser

from tests.kpi_api.browser import chromium
from tests.kpi_api.gateway import API_KEY, gateway
from tests.kpi_api.rows import stored
from tests.kpi_api.service import kpi_service

WIDE: Final = 1280
Scheme = Literal["light", "dark"]


def take(browser: Browser, address: str, target: Path, *, width: int = WIDE, scheme: Scheme = "light") -> None:
    """Writes one view as it is at a width, whole."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    context.add_init_script(f"sessionStorage.setItem('music-kpi-api-key', {json.dumps(API_KEY)})")
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("main:not([aria-busy]) h1")
    page.screenshot(path=target, full_page=True)
    context.close()


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=Path, help="kpis.json of a run")
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("--all", action="store_true", help="also dark, and as narrow as a telephone")
    arguments = parser.parse_args()
    if not arguments.rows.exists():
        sys.exit(f"{arguments.rows} is not there: «make run INPUT=<folder>» writes it.")
    rows = json.loads(arguments.rows.read_text("utf-8"), parse_float=Decimal)
    summary = max((row for row in rows if row["sk"] == "SUMMARY"), key=lambda row: row["date"])
    views = {
        "day": f"#day={summary['date']}",
        "genre": f"#day={summary['date']}&genre={quote(summary['top_genres'][0]['genre'], safe='')}",
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        kpi_service(stored(rows), Path(folder)),
        gateway() as address,
        chromium() as browser,
    ):
        for name, fragment in views.items():
            target = arguments.folder / f"kpi-page-{name}.png"
            take(browser, address + fragment, target)
            if arguments.all:
                take(browser, address + fragment, target.with_stem(f"{target.stem}-dark"), scheme="dark")
                take(browser, address + fragment, target.with_stem(f"{target.stem}-narrow"), width=400)


if __name__ == "__main__":
    main()
