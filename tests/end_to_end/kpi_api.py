"""The deployed KPI API, asked as a client asks it."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Self
from urllib.parse import quote

from tests.end_to_end.conftest import Deployed


def client_of(deployed: Deployed) -> Callable[[str], Any]:
    """A client with the API's key: gives the answer to a path."""
    outputs = deployed.pipeline.outputs
    key = deployed.client("apigateway").get_api_key(apiKey=outputs["ApiKeyId"], includeValue=True)["value"]

    def ask(path: str) -> Any:  # noqa: ANN401
        request = urllib.request.Request(outputs["ApiUrl"] + path, headers={"x-api-key": key})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read(), parse_float=Decimal)

    return ask


class Watcher:
    """Asks the API again and again while files arrive, and remembers every answer by its version.

    Args:
        deployed: the pipeline.
    """

    def __init__(self, deployed: Deployed) -> None:
        self._ask = client_of(deployed)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._errors: list[BaseException] = []
        self.answers: dict[tuple[str, int], list[dict[str, Any]]] = {}
        """By path and version, the different answers; a mixed one would be the second."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        for error in self._errors:
            raise error

    def versions(self) -> set[int]:
        """The versions that were seen of any day."""
        return {version for _, version in self.answers}

    def _watch(self) -> None:
        try:
            while not self._is_over.wait(0.05):
                for day in self._ask("v1/days")["days"]:
                    self._look_at(f"v1/days/{day['date']}")
        except BaseException as error:  # noqa: BLE001 - raised again in __exit__
            self._errors.append(error)

    def _look_at(self, path: str) -> None:
        summary = self._note(path)
        genres = self._note(f"{path}/genres")
        assert len(genres["genres"]) < 100, "a page holds all of a day"
        assert genres["version"] >= summary["version"]
        for row in genres["genres"][:3]:
            genre = self._note(f"{path}/genres/{quote(row['genre'], safe='')}")
            assert genre["version"] >= genres["version"]
            assert sum(hour["listens"] for hour in genre["hours"]) == genre["listens"]
            assert genre["version"] > genres["version"] or row.items() <= genre.items()
        if genres["version"] == summary["version"]:
            assert [(top["genre"], top["listens"]) for top in summary["top_genres"]] == most_played(
                genres["genres"], len(summary["top_genres"])
            )

    def _note(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._ask(path)
        seen = self.answers.setdefault((path, int(answer["version"])), [])
        if answer not in seen:
            seen.append(answer)
        return answer


def most_played(genres: Iterable[Mapping[str, Any]], count: int) -> list[tuple[str, int]]:
    """The genres with most plays, then by name, as SUMMARY ranks them."""
    ranked = sorted(genres, key=lambda row: (-row["listens"], row["genre"].encode()))
    return [(row["genre"], row["listens"]) for row in ranked[:count]]


def days_told_by_the_api(deployed: Deployed) -> dict[tuple[str, str], dict[str, Any]]:
    """Every day, its genres and their hours as the API tells them, by the keys of `kpis.json`."""
    ask = client_of(deployed)
    told: dict[tuple[str, str], dict[str, Any]] = {}
    genres = set()
    for day in ask("v1/days")["days"]:
        partition = f"DAY#{day['date']}"
        told[partition, "SUMMARY"] = {**day, **ask(f"v1/days/{day['date']}")}
        for row in ask(f"v1/days/{day['date']}/genres")["genres"]:
            name = row["genre"]
            genres.add(name)
            genre = ask(f"v1/days/{day['date']}/genres/{quote(name, safe='')}")
            told[partition, f"GENRE#{name}"] = {**row, **genre}
            for hour in genre["hours"]:
                told[partition, f"HOUR#{hour['hour']}#GENRE#{name}"] = hour
    for name in genres:
        for day in ask(f"v1/genres/{quote(name, safe='')}/days")["days"]:
            told[f"DAY#{day['date']}", f"GENRE#{name}"] |= day
    return told


def status_without_key(deployed: Deployed, path: str) -> int:
    """HTTP status of a request that carries no key."""
    try:
        with urllib.request.urlopen(deployed.pipeline.outputs["ApiUrl"] + path, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
