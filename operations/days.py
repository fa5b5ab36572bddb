"""Days: which ones are published, what of them is visible, and what they were computed with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from glue_scripts.kpi_table import VisibleDay, is_marker
from glue_scripts.ledger import Day
from operations.deployment import Deployment
from operations.kpis import read_summary
from validators.schemas import SNAPSHOT_DATASETS

SETTINGS: Final = ("top_songs", "top_genres")


@dataclass(frozen=True)
class Days:
    """Every day that was ever claimed, and what is visible of it, consistently read.

    Attributes:
        claimed: by ascending date.
        visible: by date, without the days that were never published.
    """

    claimed: list[Day]
    visible: dict[str, VisibleDay]

    @classmethod
    def read(cls, deployment: Deployment) -> Self:
        """Reads them, the claims first: what is visible then is at least what was published before."""
        claimed = deployment.ledger.days()
        return cls(claimed, deployment.kpi_table.visible([day.date for day in claimed]))

    @property
    def not_published(self) -> list[str]:
        """Days whose latest claim is not visible."""
        return [day.date for day in self.claimed if self._version(day) < day.claim]

    @property
    def unknown_plays(self) -> dict[str, int]:
        """Plays of unknown tracks by day, where there are any."""
        return {date: day.unknown_plays for date, day in self.visible.items() if day.unknown_plays}

    def mend_hints(self, deployment: Deployment) -> None:
        """Notes in the ledger what is visible, where a job died after it published and before it noted that."""
        for day in self.claimed:
            if self._version(day) > day.published:
                deployment.ledger.note_published(day.date, self._version(day))

    def outdated(self, deployment: Deployment) -> dict[str, list[str]]:
        """Days that would be computed with something newer, or with other settings, today.

        Returns:
            By date what is older, of `songs` and `users`, the snapshots, `kpi_code`, and the settings `top_songs` and
            `top_genres`. Without days that have no plays.
        """
        current = _current(deployment)
        found = {date: _older(day.made_of, current) for date, day in self.visible.items() if day.made_of}
        return {date: older for date, older in found.items() if older}

    def _version(self, day: Day) -> int:
        visible = self.visible.get(day.date)
        return visible.version if visible else 0


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
