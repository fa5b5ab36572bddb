"""What days were computed with, and which of them would be computed with something else today."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from glue_scripts.kpi_table import VisibleDay
from glue_scripts.ledger import Day
from glue_scripts.names import is_marker
from operations.deployment import Deployment
from operations.kpis import read_summary
from validators.schemas import SNAPSHOT_DATASETS

SETTINGS: Final = ("top_songs", "top_genres")


def mend_hints(deployment: Deployment, claimed: Iterable[Day], visible: Mapping[str, VisibleDay]) -> None:
    """Notes in the ledger what is visible, where a job died after it published and before it noted that."""
    for day in claimed:
        if day.date in visible and visible[day.date].version > day.published:
            deployment.ledger.note_published(day.date, visible[day.date].version)


def outdated(deployment: Deployment, visible: Mapping[str, VisibleDay]) -> dict[str, list[str]]:
    """Days that would be computed with something newer, or with other settings, today.

    Returns:
        By date what is older, of `songs` and `users`, the snapshots, `kpi_code`, and the settings `top_songs` and
        `top_genres`. Without days that have no plays.
    """
    current = _current(deployment)
    found = {date: _older(day.made_of, current) for date, day in visible.items() if day.made_of}
    return {date: older for date, older in found.items() if older}


def _current(deployment: Deployment) -> dict[str, Any]:
    """What the next computation of a day is made of, beside its plays: the KPI job's defaults and the snapshots."""
    arguments = deployment.glue.get_job(JobName=deployment.compute_kpis_job)["Job"]["DefaultArguments"]
    snapshots = {dataset: deployment.ledger.current_snapshot(dataset) for dataset in SNAPSHOT_DATASETS}
    return {
        **{dataset: snapshot.file for dataset, snapshot in snapshots.items() if snapshot},
        "kpi_code": arguments["--kpi_code"],
        **{name: int(arguments[f"--{name}"]) for name in SETTINGS},
    }


def _older(made_of: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    known = {**made_of["snapshots"], "kpi_code": made_of["kpi_code"], **made_of["kpi_settings"]}
    return [name for name, value in current.items() if known.get(name) != value]


@dataclass(frozen=True)
class ComputedDay:
    """A day as SUMMARY tells it.

    Attributes:
        date: yyyy-mm-dd.
        version: of the visible rows.
        plays: 0 where nothing is left of the day.
        unknown_plays: those of tracks that the songs snapshot lacks.
        snapshots: the URI of the snapshot used, by dataset; without a dataset that had none.
    """

    date: str
    version: int
    plays: int
    unknown_plays: int
    snapshots: dict[str, str]


def computed_day(deployment: Deployment, date: str) -> ComputedDay:
    """A day that has been published."""
    summary = read_summary(deployment.kpis_table, date)
    uris = {} if is_marker(summary) else {dataset: summary[f"{dataset}_snapshot"] for dataset in SNAPSHOT_DATASETS}
    return ComputedDay(
        date=date,
        version=int(summary["version"]),
        plays=int(summary.get("listens", 0)),
        unknown_plays=int(summary.get("unknown_track_plays", 0)),
        snapshots={dataset: uri for dataset, uri in uris.items() if uri},
    )
