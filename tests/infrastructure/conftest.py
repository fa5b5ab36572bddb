"""Every environment, synthesized once per test session."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from app import build_app
from stacks.settings import Settings, read_context
from tests.infrastructure.templates import Deployment

ENVIRONMENTS = ("dev", "staging", "prod")


@pytest.fixture(scope="session")
def synthesize(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Deployment]:
    """What `cdk synth -c env=<environment>` writes."""

    @cache
    def deployment(environment: str) -> Deployment:
        outdir = tmp_path_factory.mktemp(environment)
        build_app(environment, outdir).synth()
        environments = read_context()["environments"]
        return Deployment(
            environment=environment,
            settings=Settings.read(environments, environment),
            outdir=outdir,
            storage=_template(outdir / f"MusicKpi-{environment}-Storage.template.json"),
            pipeline=_template(outdir / f"MusicKpi-{environment}-Pipeline.template.json"),
            monitoring=_template(outdir / f"MusicKpi-{environment}-Monitoring.template.json"),
            api=_template(outdir / f"MusicKpi-{environment}-Api.template.json"),
        )

    return deployment


def _template(path: Path) -> dict[str, object]:
    template = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(template, dict)
    return template


@pytest.fixture(params=ENVIRONMENTS)
def deployment(request: pytest.FixtureRequest, synthesize: Callable[[str], Deployment]) -> Deployment:
    """Each environment in turn."""
    return synthesize(request.param)


@pytest.fixture
def dev(synthesize: Callable[[str], Deployment]) -> Deployment:
    """The environment dev, where the environments do not differ."""
    return synthesize("dev")
