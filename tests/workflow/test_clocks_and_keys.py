"""Both jobs' real code, on machines whose clocks are wrong and with keys of any characters."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, Final

import pytest

from glue_scripts import names
from tests.workflow.job_calls import Call, KpiJob, ValidationJob, Wire
from tests.workflow.pipeline import File, Pipeline
from tests.workflow.test_fault_matrix import SONGS
from tests.workflow.test_faults_of_validation import HEADER

ROOT: Final = Path(__file__).parents[2]
NAMES: Final = [
    "ünïcödé.csv", "u\u0308 decomposed.csv", "日本語.csv", "🎵.csv", "العربية.csv", "a b+c%20d.csv",
    "what?#[1]&=;,.csv", "quote'\"\\.csv", "{% $no %}.csv", "${DataBucket}.csv", "_hidden.csv", ".dot.csv",
    "a:b*|<>.csv", "é" * 60 + ".csv", "%F0%9F.csv", "tab\there.csv", "zero\u200bwidth.csv",
    "line\u2028separator.csv", "folder ü/日/x.csv",
]  # fmt: skip
CLOCKS: Final = {"a day behind": -24, "seven hours ahead": 7}


def run_by_real_jobs(pipeline: Pipeline, files: Sequence[File]) -> dict[str, Any]:
    """Process a batch with both jobs' own code."""
    pipeline.glue.outcomes[pipeline.validate_job] = ValidationJob(pipeline, Wire()).run
    pipeline.glue.outcomes[pipeline.compute_job] = KpiJob(pipeline, Wire()).run
    return pipeline.run(files)


def set_clock(monkeypatch: pytest.MonkeyPatch, hours: float) -> None:
    """Let all our code see a clock that is wrong by some hours; what others sign and store is not concerned."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(hours=hours)

    for name, module in list(sys.modules.items()):
        if name.startswith(("glue_scripts.", "validators.")) and getattr(module, "datetime", None) is datetime:
            monkeypatch.setattr(module, "datetime", Clock)


@pytest.mark.usefixtures("no_snapshots")
@pytest.mark.parametrize("hours", CLOCKS.values(), ids=CLOCKS.keys())
def test_a_verdict_depends_on_the_upload_and_not_on_the_clock_of_the_machine(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, hours: float
) -> None:
    uploaded = datetime.now(UTC)
    at = {hour: f"{uploaded + timedelta(hours=hour):%Y-%m-%d %H:%M:%S}" for hour in (-1, 23.9, 24.1)}
    good = pipeline.upload("good.csv", f"{HEADER}u1,t1,{at[-1]}\nu1,t1,{at[23.9]}\n".encode())
    early = pipeline.upload("early.csv", f"{HEADER}u1,t1,{at[24.1]}\n".encode())
    set_clock(monkeypatch, hours)
    ended = run_by_real_jobs(pipeline, [good, early])
    assert ended["status"] == "SUCCEEDED"
    assert [entry["key"] for entry in ended["output"]["accepted"]] == [good.key]
    assert [(entry["key"], entry["reasons"]) for entry in ended["output"]["rejected"]] == [
        (early.key, ["future_listen_time"])
    ]


def test_the_rules_read_no_clock() -> None:
    assert [place for path in (ROOT / "validators").glob("*.py") for place in _clock_reads(path)] == []


def _clock_reads(path: Path) -> Iterator[str]:
    clocks = {"now", "utcnow", "today", "time", "monotonic", "current_timestamp", "current_date"}
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in clocks:
            yield f"{path.name}, line {node.lineno}"


@pytest.mark.usefixtures("no_snapshots", "no_pauses")
def test_a_clock_too_wrong_for_signed_requests_is_told_by_its_name(pipeline: Pipeline) -> None:
    wire = Wire()
    wire.fail(Call("s3:GetObject", "manifest.json", "the manifest"), "RequestTimeTooSkewed", None)
    pipeline.glue.outcomes[pipeline.validate_job] = ValidationJob(pipeline, wire).run
    arn = pipeline.start([pipeline.upload("good.csv", f"{HEADER}u1,t1,2024-06-25 10:00:00\n".encode())])
    assert pipeline.ended(arn)["status"] == "FAILED"
    (email,) = pipeline.failure_emails(arn)
    assert "RequestTimeTooSkewed when calling GetObject" in email["message"]
    wire.lift()
    assert pipeline.redrive(arn)["status"] == "SUCCEEDED"


@pytest.mark.usefixtures("no_snapshots")
def test_keys_of_any_characters_go_through_everything(pipeline: Pipeline) -> None:
    folder = pipeline.folder
    good = [
        pipeline.upload(f"good {name}", f"{HEADER}u{n},t1,2024-06-25 10:00:00\n".encode())
        for n, name in enumerate(NAMES)
    ]
    bad = [pipeline.upload(f"bad {name}", HEADER.encode()) for name in NAMES]
    songs = pipeline.upload_as(f"{folder.replace('streams', 'songs')}Lieder ♫ {{}}.csv", SONGS)
    ended = run_by_real_jobs(pipeline, [*good, *bad, songs])

    assert ended["status"] == "SUCCEEDED"
    assert {entry["key"] for entry in ended["output"]["accepted"]} == {file.key for file in [*good, songs]}
    assert {entry["key"] for entry in ended["output"]["rejected"]} == {file.key for file in bad}
    assert {pipeline.status(file) for file in [*good, songs]} == {"ARCHIVED"}
    assert {pipeline.status(file) for file in bad} == {"REJECTED"}
    moved = pipeline.moved()
    assert {key: moved[key] for file in good for key in [file.archive_key]} == {
        file.archive_key: [file.content] for file in good
    }
    assert all(moved[file.error_key] == [file.content] for file in bad)
    assert all(f"{file.error_key}.report.json" in moved for file in bad)
    assert pipeline.objects(folder) == {}
    (email,) = pipeline.rejection_emails(ended["executionArn"])
    assert f"{folder}bad 日本語.csv" in email["message"]
    assert names.ERROR_PREFIX in email["message"]
