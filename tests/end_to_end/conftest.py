"""One synthesized assembly for all tests; a fresh embedded AWS for each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from rich.console import Console

from laptop.collect import Email, read_emails
from laptop.glue_environment import make_environment
from laptop.inputs import Input
from laptop.pipeline import Pipeline, Uploaded, all_outputs
from laptop.watch import watch
from local_aws.server import EmbeddedAws

REPOSITORY = Path(__file__).parents[2]
DEADLINE_SECONDS = 400.0


OF_A_COMPUTATION = {
    "claim", "version", "computed_at", "genre_rows", "songs_snapshot", "users_snapshot", "snapshots", "kpi_code",
    "kpi_settings",
}  # fmt: skip


def numbers_of(entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Entries without what differs between two computations of the same, or tells what was computed with."""
    return [{name: value for name, value in entry.items() if name not in OF_A_COMPUTATION} for entry in entries]


@dataclass(frozen=True)
class Deployed:
    """The stacks on an embedded AWS, and what a test does with them."""

    pipeline: Pipeline
    work_dir: Path
    environment: Mapping[str, str]

    def client(self, service: str) -> Any:  # noqa: ANN401 - the service is a variable
        """A client of a service that the pipeline itself has none of."""
        session: Any = boto3.Session(
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            region_name=self.environment["AWS_REGION"],
        )
        return session.client(service, endpoint_url=self.environment["AWS_ENDPOINT_URL"])

    def upload(self, folder: Path, contents: Mapping[str, bytes]) -> list[Uploaded]:
        """Uploads files, given as `dataset/name` and bytes."""
        files = []
        for name, data in contents.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            files.append(self.pipeline.upload(Input(path.parent.name, path)))
        return files

    def wait_for(self, files: Sequence[Uploaded], *, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        """Waits until the files are finished, or an execution has failed and the notifier has told it."""
        watch(self.pipeline.snapshot, files, Console(), deadline_seconds=deadline_seconds)

    def kpi_rows(self) -> list[dict[str, Any]]:
        """The entries of every day that has plays without what tells of their computation."""
        return numbers_of(self.pipeline.kpi_rows())

    def emails(self) -> list[Email]:
        """The e-mails sent so far."""
        return read_emails(self.work_dir)


def synthesized(folder: Path, overrides: Mapping[str, Any]) -> Path:
    """The stacks of dev, as `make run` synthesizes them, in a folder.

    Args:
        folder: where to.
        overrides: context in place of the laptop's.
    """
    laptop = json.loads((REPOSITORY / "laptop" / "settings.json").read_text(encoding="utf-8"))
    environment = {**os.environ, "CDK_OUTDIR": str(folder), "CDK_CONTEXT_JSON": json.dumps({**laptop, **overrides})}
    subprocess.run([sys.executable, "app.py"], cwd=REPOSITORY, env=environment, check=True, timeout=120)
    return folder


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthesized stacks."""
    return synthesized(tmp_path_factory.mktemp("assembly"), {})


@pytest.fixture(scope="session", autouse=True)
def _packages_of_glue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Jobs run with the packages that Glue has, as those of `make run` do, and with no others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCAL_AWS_GLUE_PYTHON", str(make_environment(tmp_path_factory.mktemp("glue"))))
        yield


@contextmanager
def deploying(assembly: Path, work_dir: Path) -> Iterator[Deployed]:
    """The stacks on an embedded AWS, as long as the context lasts."""
    with EmbeddedAws(assembly, work_dir) as aws:
        yield Deployed(Pipeline(all_outputs(aws.outputs), aws.environment()), work_dir, aws.environment())


@pytest.fixture
def deployed(assembly: Path, tmp_path: Path) -> Iterator[Deployed]:
    """The stacks on an embedded AWS of this test's own."""
    with deploying(assembly, tmp_path / "aws") as deployed:
        yield deployed
