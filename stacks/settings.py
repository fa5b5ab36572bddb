"""What may differ between the environments, read from cdk.json and checked before anything is built."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Protocol, get_type_hints

from stacks.quotas import (
    EXECUTION_INPUT_BYTES,
    ITEM_BYTES,
    largest_batch_bytes,
    largest_genre_row_bytes,
    largest_summary_bytes,
)
from validators.rules import RuleError, check_tolerances
from validators.schemas import MAX_FILE_BYTES

CDK_JSON: Final = Path(__file__).parents[1] / "cdk.json"

PREFIX: Final = "music-kpi"

MAX_CONCURRENT_VALIDATIONS: Final = 10
"""Runs of the validation job at a time; more wait in the job's queue."""

EVENT_SECONDS: Final = 60
"""How long the event of an upload may take, with few exceptions.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventNotifications.html
"""

SHORTEST_WAIT_SECONDS: Final = 20
"""How long a pipe may wait for messages at low traffic, whatever its window.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-sqs.html
"""

JOB_RUN_SECONDS: Final = 150
"""A job run of a small batch with its start, at most: an estimate."""

REDRIVE_DAYS: Final = 14
"""How long Step Functions can redrive an execution; what it needs must be there that long."""


_WIDEST_CIDR: Final = 8
_ORIGIN: Final = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?")


def read_context() -> dict[str, Any]:
    """The `context` of cdk.json: feature flags, and under `environments` the settings of each."""
    context: dict[str, Any] = json.loads(CDK_JSON.read_text(encoding="utf-8"))["context"]
    return context


class SettingsError(ValueError):
    """A setting in cdk.json or on the command line is missing, unknown or out of range."""


class _Rule(Protocol):
    """What a setting must be."""

    @property
    def wanted(self) -> str:
        """The words that follow "must be" in an error."""

    def read(self, value: object) -> object:
        """The value as the field holds it; ValueError if it is none."""

    def of_text(self, text: str) -> object:
        """What cdk.json would hold in place of the text of `-c name=text`; ValueError if it is none."""


@dataclass(frozen=True)
class _Whole:
    low: int
    high: int
    unit: str

    @property
    def wanted(self) -> str:
        return f"a whole number of {self.unit} from {self.low} to {self.high}"

    def read(self, value: object) -> int:
        if type(value) is not int or not self.low <= value <= self.high:  # a bool is an int, too
            raise ValueError
        return value

    def of_text(self, text: str) -> int:
        return int(text)


class _OneOf:
    def __init__(self, *values: bool | int | str) -> None:
        self.values = values

    @property
    def wanted(self) -> str:
        return "one of " + ", ".join(map(repr, self.values))

    def read(self, value: object) -> object:
        if not any(type(value) is type(known) and value == known for known in self.values):
            raise ValueError
        return value

    def of_text(self, text: str) -> object:
        return next((known for known in self.values if str(known).lower() == text.lower()), text)


class _Texts:
    """A list of texts; on the command line they are separated by commas."""

    wanted: str

    def read(self, value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(text, str) and self._is_one(text) for text in value):
            raise ValueError
        return tuple(value)

    def of_text(self, text: str) -> list[str]:
        return [part.strip() for part in text.split(",") if part.strip()]

    def _is_one(self, text: str) -> bool:
        raise NotImplementedError


class _Emails(_Texts):
    wanted = "a list of e-mail addresses"

    def _is_one(self, text: str) -> bool:
        return "@" in text


class _Cidrs(_Texts):
    wanted = (
        f"a list of CIDR blocks such as 203.0.113.0/24, none of them wider than /{_WIDEST_CIDR} "
        "(the API is never open to everybody)"
    )

    def _is_one(self, text: str) -> bool:
        return "/" in text and ipaddress.ip_network(text).prefixlen >= _WIDEST_CIDR


class _Origins(_Texts):
    wanted = "a list of origins such as https://charts.example.com, without a path and without *"

    def _is_one(self, text: str) -> bool:
        return _ORIGIN.fullmatch(text) is not None


class _Page:
    wanted = "the https URL of a page, without #, or empty"

    def read(self, value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch(r"(https://[\x21-\x7e]+)?", value) or "#" in value:
            raise ValueError
        return value

    def of_text(self, text: str) -> str:
        return text


class _Fractions:
    wanted = "an object of rule ids with fractions from 0 to 1"

    def read(self, value: object) -> Mapping[str, float]:
        if not isinstance(value, dict) or not all(self._is_fraction(part) for part in value.values()):
            raise ValueError
        return MappingProxyType({str(rule): float(part) for rule, part in value.items()})

    def of_text(self, text: str) -> object:
        return json.loads(text)

    @staticmethod
    def _is_fraction(part: object) -> bool:
        return isinstance(part, int | float) and not isinstance(part, bool) and 0 <= part <= 1


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that an environment can set. Every field is required, so that cdk.json shows all there is.

    For one deployment, `-c name=value` takes the place of what cdk.json has; a list is separated by commas there.
    """

    environment: str
    """dev, staging or prod: a part of every name."""

    alert_emails: Annotated[tuple[str, ...], _Emails()]
    """Who gets the alerts; each address must confirm a mail from AWS once."""

    runbook_url: Annotated[str, _Page()]
    """Where docs/runbook.md can be read in a browser: e-mails link its entries. Empty: they name the file instead."""

    batch_window_seconds: Annotated[int, _Whole(0, 300, "seconds")]
    """How long uploads are collected before a batch starts (EventBridge Pipes takes 0 to 300 seconds). At low traffic a
    pipe may wait up to 20 seconds all the same."""

    batch_size: Annotated[int, _Whole(1, 100, "files")]
    """Most files in one batch. An execution's input takes 256 KiB: 33 events fit, whatever their keys hold."""

    max_batch_gb: Annotated[int, _Whole(MAX_FILE_BYTES // 2**30, 500, "GB")]
    """Most GB (of 1,073,741,824 bytes, as files lie in S3) that one execution processes. It divides a larger batch and
    starts an execution for each part. More than 20 may need more workers, or a longer `job_timeout_minutes`."""

    worker_type: Annotated[str, _OneOf("G.1X", "G.2X", "G.4X", "G.8X")]
    """Size of a Glue worker; G.1X is 1 DPU (4 vCPU, 16 GB)."""

    number_of_workers: Annotated[int, _Whole(2, 50, "workers")]
    """Workers of a job run, driver included; Glue Spark takes 2 at least."""

    glue_version: Annotated[str, _OneOf("5.1")]
    """Glue version: 5.1 is Spark 3.5.6 on Python 3.11, the one that the tests run on."""

    job_timeout_minutes: Annotated[int, _Whole(5, 200, "minutes")]
    """When Glue stops a job run. The state machine waits 480 minutes for it, its time in the job's queue included."""

    freshness_slo_seconds: Annotated[int, _Whole(0, 86400, "seconds")]
    """An alarm rings when fewer than 95 % of an hour's files are in the KPIs so long after their upload. 0: twice what
    a file takes at most while nothing else runs, which is its event, the batch window and two job runs."""

    rejected_rows_percent: Annotated[int, _Whole(1, 100, "per cent")]
    """An alarm tells when at least this share of a day's rows does not reach the KPIs."""

    no_file_alarm_hours: Annotated[int, _Whole(0, 168, "hours")]
    """An alarm tells when no file has come for so long; 0 is no such alarm (uploads are irregular)."""

    max_concurrent_kpi_runs: Annotated[int, _Whole(1, 10, "runs")]
    """KPI job runs at a time: 1 saves money (a superseded run computes for nothing). Neither correctness nor progress
    rests on it."""

    top_songs: Annotated[int, _Whole(1, 500, "songs")]
    """Length of a genre's list of top songs of a day."""

    top_genres: Annotated[int, _Whole(1, 500, "genres")]
    """Length of a day's list of top genres."""

    tolerances: Annotated[Mapping[str, float], _Fractions()]
    """Rule id -> the fraction of a file's rows that may fail it (0 to 1) where it differs from the rule's own."""

    api_access: Annotated[str, _OneOf("iam", "api_key")]
    """Who may call the KPI API: `iam`, who has the key and signs requests with credentials of this account that allow
    it; `api_key`, who has the key and comes from `api_allowed_cidrs`. A browser cannot sign: only `api_key` has the
    page."""

    api_allowed_cidrs: Annotated[tuple[str, ...], _Cidrs()]
    """Addresses that reach the API. With `api_key` there must be one; with `iam` an empty list is no limit."""

    api_cors_allowed_origins: Annotated[tuple[str, ...], _Origins()]
    """Sites whose own pages may call the API; the API's page needs none."""

    api_requests_per_second: Annotated[int, _Whole(1, 1_000, "requests")]
    """Steady rate of all callers together; more are answered by 429."""

    api_burst_requests: Annotated[int, _Whole(1, 2_000, "requests")]
    """Requests at once that the steady rate does not hold back."""

    api_requests_per_day: Annotated[int, _Whole(1, 10_000_000, "requests")]
    """Quota of the API key, from midnight UTC on, with `iam`, too: there requests are signed and carry the key."""

    retain_data: Annotated[bool, _OneOf(True, False)]
    """Whether bucket, tables and topic outlive their stack, with deletion and termination protection."""

    processing_days: Annotated[int, _Whole(REDRIVE_DAYS + 1, 365, "days")]
    """When working copies expire: a redrive needs them, and is possible for 14 days."""

    archive_days: Annotated[int, _Whole(1, 3650, "days")]
    """When accepted files expire; they hold user ids."""

    error_days: Annotated[int, _Whole(1, 3650, "days")]
    """When rejected files and their reports expire; they hold user ids."""

    quality_days: Annotated[int, _Whole(1, 3650, "days")]
    """When validation reports and quarantined rows expire; they hold user ids."""

    log_retention_days: Annotated[int, _OneOf(7, 14, 30, 90, 180, 365)]
    """How long CloudWatch keeps the logs, in days."""

    def name(self, of: str) -> str:
        """Physical name of a resource in this environment, such as `music-kpi-dev-kpis`."""
        return f"{PREFIX}-{self.environment}-{of}"

    @property
    def dpus(self) -> int:
        """Data processing units of a job run, which is what Glue bills by the second.

        G.1X is 1, G.2X is 2 and so on: https://docs.aws.amazon.com/glue/latest/dg/worker-types.html
        """
        return self.number_of_workers * int(self.worker_type.removeprefix("G.").removesuffix("X"))

    @property
    def max_batch_bytes(self) -> int:
        """Most bytes of the files that one execution processes, as they lie in S3."""
        return self.max_batch_gb * 2**30

    @property
    def quiet_freshness_seconds(self) -> int:
        """How long a file takes at most from its upload to the KPIs while nothing else runs."""
        return EVENT_SECONDS + max(self.batch_window_seconds, SHORTEST_WAIT_SECONDS) + 2 * JOB_RUN_SECONDS

    @property
    def freshness_limit_seconds(self) -> int:
        """When a file is late: as the setting says; with 0 twice the quiet time, so that it may wait for one batch."""
        return self.freshness_slo_seconds or 2 * self.quiet_freshness_seconds

    @property
    def runbook(self) -> str:
        """The page whose entries the e-mails name."""
        return self.runbook_url or "docs/runbook.md"

    @property
    def visibility_timeout_seconds(self) -> int:
        """How long a message that the pipe has received stays hidden.

        AWS asks for six times the batch window; a shorter one delivers good messages again, then dead-letters them.
        """
        return max(30, 6 * self.batch_window_seconds)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The settings by name, without the environment."""
        return tuple(_rules())

    @classmethod
    def wanted(cls) -> dict[str, str]:
        """What each setting must be, in the words of an error."""
        return {name: rule.wanted for name, rule in _rules().items()}

    @classmethod
    def read(
        cls, environments: object, environment: str, *, overrides: Mapping[str, object] = MappingProxyType({})
    ) -> Settings:
        """Check an environment of cdk.json.

        Args:
            environments: Environment -> setting -> value, as cdk.json has it.
            environment: Which of them.
            overrides: Setting -> value in place of that of cdk.json, in the same form or as the text of `-c`; None is
                no value.

        Raises:
            SettingsError: There is no such environment, or one of its settings is unknown, missing or out of range.
        """
        if not isinstance(environments, dict) or not environments:
            raise SettingsError('cdk.json has no "environments" in its "context".')
        if environment not in environments:
            raise SettingsError(
                f"There is no environment {environment!r}. Choose one of {', '.join(environments)} by -c env=…"
            )
        where = f"cdk.json, environment {environment!r}"
        given = environments[environment]
        if not isinstance(given, dict):
            raise SettingsError(f"{where}: the settings must be an object, not {given!r}.")
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,19}", environment):
            # A bucket's name has at most 63 characters, of which music-kpi-…-data-<account>-<region> leaves 20.
            raise SettingsError(f"{where}: its name must be 1 to 20 lower-case letters, digits and hyphens.")
        settings = cls(environment=environment, **_checked({**given, **_overriding(overrides)}, where))
        for problem in [*_contradictions(settings), *_over_quotas(settings)]:
            raise SettingsError(f"{where}: {problem}")
        return settings


def check_region(region: str | None) -> None:
    """Let the stacks be synthesized for commercial regions only.

    The definitions of the state machines name AWS's integrations in the partition `aws`, and what the stacks use is not
    everywhere else (EventBridge Pipes, for one, is not in us-gov-west-1).

    Args:
        region: Where the stacks will be deployed; None where that is not known.

    Raises:
        SettingsError: The region is of another partition: China, GovCloud, an isolated or a sovereign one.
    """
    if region and not re.fullmatch(r"(?!cn-)[a-z]{2}-[a-z]+-\d+", region):
        raise SettingsError(
            f"The region {region} is of another partition than `aws`: these stacks run in commercial regions only. "
            "Choose one by AWS_REGION or your profile."
        )


def _overriding(overrides: Mapping[str, object]) -> dict[str, object]:
    rules = _rules()
    values: dict[str, object] = {}
    for name, value in overrides.items():
        if isinstance(value, str) and name in rules:
            try:
                value = rules[name].of_text(value)
            except ValueError as error:
                raise SettingsError(f"-c {name}={value}: it must be {rules[name].wanted}.") from error
        if value is not None:
            values[name] = value
    return values


def _contradictions(settings: Settings) -> Iterator[str]:
    """Which settings do not go together, or mean nothing to the jobs."""
    try:
        check_tolerances(settings.tolerances)
    except RuleError as error:
        yield str(error)
    if settings.batch_size > 10 and settings.batch_window_seconds == 0:
        # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html: pipes read queues the same way
        yield "a batch_size over 10 needs a batch_window_seconds of at least 1."
    if settings.freshness_limit_seconds <= settings.quiet_freshness_seconds:
        yield (
            f"a freshness_slo_seconds of {settings.freshness_slo_seconds} would ring for ever: with a "
            f"batch_window_seconds of {settings.batch_window_seconds} a file takes up to "
            f"{settings.quiet_freshness_seconds} seconds while nothing else runs. Choose more, or 0 for "
            f"{2 * settings.quiet_freshness_seconds}."
        )
    if settings.api_access == "api_key" and not settings.api_allowed_cidrs:
        yield (
            "an api_access of 'api_key' needs api_allowed_cidrs, the addresses of those who use the API: its page asks "
            "for no key and must not be open to everybody."
        )


def _over_quotas(settings: Settings) -> Iterator[str]:
    """What would exceed a quota of AWS, and which settings make it so large."""
    batch = largest_batch_bytes(settings.batch_size)
    if batch > EXECUTION_INPUT_BYTES:
        yield (
            f"batch_size {settings.batch_size} makes an execution's input of up to {batch:,} bytes; "
            f"Step Functions takes {EXECUTION_INPUT_BYTES:,}."
        )
    rows = {
        f"top_songs {settings.top_songs}": largest_genre_row_bytes(top_songs=settings.top_songs),
        f"top_genres {settings.top_genres}": largest_summary_bytes(top_genres=settings.top_genres),
    }
    for setting, size in rows.items():
        if size > ITEM_BYTES:
            yield f"{setting} makes rows of up to {size:,} bytes; DynamoDB takes {ITEM_BYTES:,}."


def _checked(given: dict[str, object], where: str) -> dict[str, Any]:
    rules = _rules()
    if unknown := sorted(given.keys() - rules.keys()):
        raise SettingsError(f"{where}: unknown setting {', '.join(unknown)}. Known are {', '.join(sorted(rules))}.")
    if missing := sorted(rules.keys() - given.keys()):
        raise SettingsError(f"{where}: missing setting {', '.join(missing)}.")
    values: dict[str, Any] = {}
    for name, rule in rules.items():
        try:
            values[name] = rule.read(given[name])
        except ValueError as error:
            raise SettingsError(f"{where}: {name} must be {rule.wanted}, not {given[name]!r}.") from error
    return values


def _rules() -> dict[str, _Rule]:
    hints = get_type_hints(Settings, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items() if name != "environment"}
