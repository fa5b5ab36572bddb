"""The cost table is the one in the docs, and its model follows the settings."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import costs
from stacks.settings import Settings, read_context

ROOT = Path(__file__).parents[2]
PRICES = json.loads(costs.PRICES.read_text())
PROD = Settings.read(read_context()["environments"], "prod")


def test_the_docs_show_the_table() -> None:
    assert costs.table() in (ROOT / "docs/performance.md").read_text()


@pytest.mark.parametrize(
    ("files", "window", "pollers", "expected"),
    [
        (10, 300, 1, 10),
        (1000, 300, 1, 288),
        (1000, 300, 2, 576),
        (1000, 300, 5, 1000),
        (33_000, 300, 1, 1000),
        (33_000, 300, 5, 1440),
    ],
)
def test_a_batch_for_each_window_of_each_poller_and_more_where_it_is_full(
    files: int, window: int, pollers: int, expected: int
) -> None:
    assert costs.batches(files, replace(PROD, batch_window_seconds=window), pollers=pollers) == expected


def test_glue_costs_what_deploying_says() -> None:
    text = (ROOT / "docs/deploy.md").read_text()
    for pollers in (1, costs.POLLERS):
        assert f"**${costs.cost(10_000, PROD, PRICES, pollers=pollers).glue:,.2f}**" in text
    assert f"**${costs.ceiling(PROD, PRICES):,.0f} a day**" in text


def test_the_states_of_a_batch_and_of_a_file_are_those_of_the_definition() -> None:
    """A batch of good files enters each state but those of failures, rejections, division and what S3 refuses."""
    definition = json.loads((ROOT / "state_machines/pipeline.asl.json").read_text())
    others = (
        *("NotUnderstood", "NotStaged", "DidNotSucceed", "TooLarge", "MoveRejected", "RejectionEmail", "WhyNot"),
        *("CopyUndescribed", "IsKeyMissing", "Again", "StartParts"),
    )
    per_batch = [name for name in definition["States"] if not any(part in name for part in others)]
    assert len(per_batch) == costs.STATES_OF_BATCH
    of_file = [
        name
        for state in ("Stage", "Archive")
        for name in definition["States"][state]["ItemProcessor"]["States"]
        if not any(part in name for part in others)
    ]
    assert len(of_file) == costs.STATES_OF_FILE
