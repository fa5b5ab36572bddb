"""The description of the API is true: Schemathesis asks the running API whatever the description allows and forbids."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

from lambdas.kpi_api import api, parameters, reader
from lambdas.kpi_api.cursors import cursor
from tests.kpi_api.conftest import Kpis
from tests.kpi_api.gateway import API_KEY, gateway

MAX_EXAMPLES = 10
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance," \
    "response_headers_conformance,negative_data_rejection,unsupported_method,allow_header_conformance"  # fmt: skip
"""Not those of keys, which API Gateway judges, and not that everything valid is taken: a cursor is opaque."""


@pytest.fixture
def description(kpis: Kpis) -> dict[str, Any]:
    described: dict[str, Any] = kpis.get("/v1/openapi.json").json
    return described


@pytest.fixture
def address(kpis: Kpis) -> Iterator[str]:
    assert kpis.rows
    with gateway() as address:
        yield address


def test_it_is_openapi(description: dict[str, Any]) -> None:
    validate(json.loads(json.dumps(description)))


def test_its_limits_are_those_of_the_code(description: dict[str, Any]) -> None:
    known = description["components"]["parameters"]
    days, genres = known["LimitDays"]["schema"], known["LimitGenres"]["schema"]

    assert (days["default"], days["maximum"]) == (api.DEFAULT_DAYS, reader.MAX_DAYS)
    assert (genres["default"], genres["maximum"]) == (api.DEFAULT_GENRES, api.MAX_GENRES)
    assert f"at most {parameters.MAX_GENRE_BYTES} bytes" in known["Genre"]["description"]
    longest = cursor(["genres"], ["\uffff" * (parameters.MAX_GENRE_BYTES // 3), "1" * 12])
    assert len(longest) <= known["Cursor"]["schema"]["maxLength"]


def test_whatever_is_asked_the_answer_is_as_described(address: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{address}v1/openapi.json"),
            *("--header", f"x-api-key: {API_KEY}"),
            *("--phases", "examples,coverage,fuzzing"),
            *("--checks", CHECKS),
            *("--max-examples", str(MAX_EXAMPLES)),
            *("--max-time", "20"),
            *("--seed", "7"),
            "--no-color",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Tested: 6" in ended.stdout
