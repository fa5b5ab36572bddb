"""What may differ between the environments, read from cdk.json and checked before anything is built."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

PREFIX: Final = "music-kpi"

REDRIVE_DAYS: Final = 14
"""How long Step Functions can redrive an execution; what it needs must be there that long."""


class SettingsError(ValueError):
    """A setting in cdk.json or on the command line is missing, unknown or out of range."""


def _setting(check: Callable[[object], Any], wanted: str) -> Any:
    return dataclasses.field(metadata={"check": check, "wanted": wanted})


def _whole(low: int, high: int, unit: str) -> Any:
    def check(value: object) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError
        return value

    return _setting(check, f"a whole number of {unit} from {low} to {high}")


def _one_of(*values: object) -> Any:
    def check(value: object) -> object:
        if not any(type(value) is type(known) and value == known for known in values):
            raise ValueError
        return value

    return _setting(check, "one of " + ", ".join(map(repr, values)))


def _emails(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(email, str) and "@" in email for email in value):
        raise ValueError
    return tuple(value)


def _fractions(value: object) -> Mapping[str, float]:
    if not isinstance(value, dict):
        raise ValueError
    if any(
        isinstance(part, bool) or not isinstance(part, int | float) or not 0 <= part <= 1 for part in value.values()
    ):
        raise ValueError
    return MappingProxyType({str(rule): float(part) for rule, part in value.items()})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that an environment can set. Every field is required, so that cdk.json shows all there is."""

    environment: str
    """dev, staging or prod: a part of every name."""

    alert_emails: tuple[str, ...] = _setting(_emails, "a list of e-mail addresses")
    """Who gets the alerts; each address must confirm a mail from AWS once. Also `-c alert_emails=a@b,c@d`."""

    batch_window_seconds: int = _whole(0, 300, "seconds")
    """How long uploads are collected before a batch starts (EventBridge Pipes takes 0 to 300 seconds)."""

    batch_size: int = _whole(1, 100, "files")
    """Most files in one batch: 100 events with keys of 1,024 bytes stay below the 256 KiB that an execution takes."""

    worker_type: str = _one_of("G.1X", "G.2X", "G.4X", "G.8X")
    """Size of a Glue worker; G.1X is 1 DPU (4 vCPU, 16 GB)."""

    number_of_workers: int = _whole(2, 50, "workers")
    """Workers of a job run, driver included; Glue Spark takes 2 at least."""

    glue_version: str = _one_of("5.1")
    """Glue version: 5.1 is Spark 3.5.6 on Python 3.11, the one that the tests run on."""

    job_timeout_minutes: int = _whole(5, 200, "minutes")
    """When Glue stops a job run. The state machine waits 480 minutes for a run: twice this and some time in the queue."""

    max_concurrent_kpi_runs: int = _whole(1, 10, "runs")
    """KPI job runs at a time: 1 saves money (a superseded run computes for nothing); correctness never rests on it."""

    top_songs: int = _whole(1, 50, "songs")
    """Length of a genre's list of top songs of a day."""

    top_genres: int = _whole(1, 500, "genres")
    """Length of a day's list of top genres."""

    tolerances: Mapping[str, float] = _setting(_fractions, "an object of rule ids with fractions from 0 to 1")
    """Rule id -> the fraction of a file's rows that may fail it (0 to 1) where it differs from the rule's own."""

    retain_data: bool = _one_of(True, False)
    """Whether bucket, tables and topic outlive their stack, with deletion and termination protection."""

    raw_days: int = _whole(REDRIVE_DAYS + 1, 3650, "days")
    """When a file that is still in raw/ expires: nothing worked on it, in spite of queue, alerts and redrives."""

    processing_days: int = _whole(REDRIVE_DAYS + 1, 365, "days")
    """When working copies expire: a redrive needs them, and is possible for 14 days."""

    archive_days: int = _whole(1, 3650, "days")
    """When accepted files expire; they hold user ids."""

    error_days: int = _whole(1, 3650, "days")
    """When rejected files and their reports expire; they hold user ids."""

    quality_days: int = _whole(1, 3650, "days")
    """When validation reports and quarantined rows expire; they hold user ids."""

    log_retention_days: int = _one_of(7, 14, 30, 90, 180, 365)
    """How long CloudWatch keeps the logs, in days."""

    def name(self, of: str) -> str:
        """Physical name of a resource in this environment, such as `music-kpi-dev-kpis`."""
        return f"{PREFIX}-{self.environment}-{of}"

    @property
    def visibility_timeout_seconds(self) -> int:
        """How long a message that the pipe has received stays hidden.

        AWS asks for six times the batch window; a shorter one delivers good messages again, then dead-letters them.
        """
        return max(30, 6 * self.batch_window_seconds)

    @classmethod
    def read(cls, environments: object, environment: str, *, alert_emails: str | None = None) -> Settings:
        """Check an environment of cdk.json.

        Args:
            environments: Environment -> setting -> value, as cdk.json has it.
            environment: Which of them.
            alert_emails: Addresses separated by commas, in place of those of cdk.json.

        Raises:
            SettingsError: There is no such environment, or one of its settings is unknown, missing or out of range.
        """
        if not isinstance(environments, dict) or not environments:
            raise SettingsError('cdk.json has no "environments" in its "context".')
        if environment not in environments:
            raise SettingsError(
                f"There is no environment {environment!r}. Choose one of {', '.join(environments)}: -c env=<environment>"
            )
        where = f"cdk.json, environment {environment!r}"
        given = environments[environment]
        if not isinstance(given, dict):
            raise SettingsError(f"{where}: the settings must be an object, not {given!r}.")
        if alert_emails is not None:
            given = {**given, "alert_emails": [email.strip() for email in alert_emails.split(",") if email.strip()]}
        settings = cls(environment=environment, **_checked(given, where))
        if settings.batch_size > 10 and settings.batch_window_seconds == 0:
            # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html: pipes read queues the same way
            raise SettingsError(f"{where}: a batch_size over 10 needs a batch_window_seconds of at least 1.")
        return settings


def _checked(given: dict[str, object], where: str) -> dict[str, Any]:
    fields = {field.name: field.metadata for field in dataclasses.fields(Settings) if field.metadata}
    if unknown := sorted(given.keys() - fields.keys()):
        raise SettingsError(f"{where}: unknown setting {', '.join(unknown)}. Known are {', '.join(sorted(fields))}.")
    if missing := sorted(fields.keys() - given.keys()):
        raise SettingsError(f"{where}: missing setting {', '.join(missing)}.")
    values: dict[str, Any] = {}
    for name, metadata in fields.items():
        try:
            values[name] = metadata["check"](given[name])
        except ValueError as error:
            raise SettingsError(f"{where}: {name} must be {metadata['wanted']}, not {given[name]!r}.") from error
    return values
