"""The e-mails as committed texts in docs/emails/, for whoever wants to read one without breaking something."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

EMAILS: Final = Path(__file__).parents[1] / "docs" / "emails"


def assert_is_committed(name: str, email: Mapping[str, str], replaced: Mapping[str, str] | None = None) -> None:
    """Compares an e-mail with its committed text.

    Args:
        name: of the file, without suffix.
        email: `subject` and `message`.
        replaced: what differs from run to run, and what stands for it.
    """
    text = f"Subject: {email['subject']}\n\n{email['message']}\n"
    for given, stands in (replaced or {}).items():
        text = text.replace(given, stands)
    path = EMAILS / f"{name}.txt"
    if os.environ.get("UPDATE_SNAPSHOT") == "1":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), (
        f"{path.name} is not what is sent. If that is meant: UPDATE_SNAPSHOT=1 .venv/bin/python -m pytest -k committed"
    )
