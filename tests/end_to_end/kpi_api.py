"""The deployed KPI API, asked as a client asks it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from tests.end_to_end.conftest import Deployed


def days_told_by_the_api(deployed: Deployed) -> dict[tuple[str, str], dict[str, Any]]:
    """Every day, its genres and their hours as the API tells them, by the keys of the rows behind them."""
    outputs = deployed.pipeline.outputs
    key = deployed.client("apigateway").get_api_key(apiKey=outputs["ApiKeyId"], includeValue=True)["value"]

    def ask(path: str) -> Any:  # noqa: ANN401
        request = urllib.request.Request(outputs["ApiUrl"] + path, headers={"x-api-key": key})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read(), parse_float=Decimal)

    told = {}
    for day in ask("v1/days")["days"]:
        partition = f"DAY#{day['date']}"
        told[partition, "SUMMARY"] = ask(f"v1/days/{day['date']}")
        for genre in ask(f"v1/days/{day['date']}/genres")["genres"]:
            name = genre["genre"]
            told[partition, f"GENRE#{name}"] = genre
            for hour in ask(f"v1/days/{day['date']}/genres/{quote(name, safe='')}")["hours"]:
                told[partition, f"HOUR#{hour['hour']}#GENRE#{name}"] = hour
    return told


def status_without_key(deployed: Deployed, path: str) -> int:
    """HTTP status of a request that carries no key."""
    try:
        with urllib.request.urlopen(deployed.pipeline.outputs["ApiUrl"] + path, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
