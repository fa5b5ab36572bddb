"""Debian's, or another machine's own, Chromium without a window."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from playwright.sync_api import Browser, sync_playwright

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING: Final = (
    "Chromium is missing: install it with «sudo apt-get install chromium» (Debian, Ubuntu) or «brew install --cask "
    "chromium» (macOS; its program must be on PATH as chromium), then repeat the command."
)
FLAGS: Final = (
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class BrowserMissingError(RuntimeError):
    """There is no Chromium on PATH."""


def chromium_path() -> str:
    """Where the browser is.

    Raises:
        BrowserMissingError: says what to type.
    """
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise BrowserMissingError(MISSING)
    return found


@contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """A running browser.

    Args:
        flags: further flags.
    """
    executable = chromium_path()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=[*FLAGS, *flags])
        yield browser
        browser.close()
