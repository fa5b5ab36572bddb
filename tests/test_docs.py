"""The site of docs/, and the pages that are made of the code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stacks import document

REPOSITORY = Path(__file__).parents[1]


def test_sphinx_finds_every_page_link_and_docstring_in_order(tmp_path: Path) -> None:
    """Without writing the pages, which takes twice as long: `make docs` does."""
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going", "--builder", "dummy"]

    ended = subprocess.run(
        [*command, "docs", str(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("name", document.PAGES)
def test_a_page_that_is_made_of_the_code_is_current(name: str) -> None:
    committed = (REPOSITORY / f"docs/{name}.md").read_text("utf-8")

    assert committed == document.PAGES[name](), f"run: python -m stacks.document {name} > docs/{name}.md"


def test_a_map_s_states_are_a_diagram_of_their_own() -> None:
    page = document.state_machines_page()

    assert "### Stage, for each item\n\n```mermaid\nflowchart TD\n    begin(( )) --> NameFile\n" in page
    assert 'CopyToProcessing -->|"caught"| WhyNotCopied' in page
    assert 'HasValidateSucceeded -->|"else"| JobDidNotSucceed' in page
