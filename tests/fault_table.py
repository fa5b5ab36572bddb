"""The table of faults in docs/faults.md: each call of AWS, how it fails, and what becomes of it.

The tests fill it: each runs some of its cells and compares them with the page. `UPDATE_FAULTS=1 TRUST_FAULTS=all` (with
`--numprocesses 0`) runs all cells and writes what it found.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Protocol, TypeVar

PAGE: Final = Path(__file__).parents[1] / "docs" / "faults.md"
ERRORS: Final = ("throttled", "server error", "no answer", "access denied")
TIMES: Final = ("once", "for good")
CODES: Final = {
    "s3": ("SlowDown", "InternalError", "RequestTimeout", "AccessDenied"),
    "glue": ("ThrottlingException", "InternalServiceException", "OperationTimeoutException", "AccessDeniedException"),
    "dynamodb": ("ThrottlingException", "InternalServerError", "RequestTimeout", "AccessDeniedException"),
    "sns": ("Throttled", "InternalError", "RequestTimeout", "AuthorizationError"),
    "states": ("ThrottlingException", "InternalServerError", "RequestTimeout", "AccessDeniedException"),
    "cloudwatch": ("Throttling", "InternalServiceFault", "RequestTimeout", "AccessDenied"),
}
"""By service, the codes of ERRORS."""
CALLERS: Final = (
    "State machine `pipeline`",
    "Glue job `validate_batch`",
    "Glue job `compute_kpis`",
    "State machine `notify_failure`",
    "State machine `recompute`",
    "Lambda `kpi_api`",
    "Lambda `pipeline_health`",
)

_INTRODUCTION: Final = """# What becomes of a call of AWS that fails

Made by the tests, which let each call fail on the embedded AWS and see what becomes of it (`tests/fault_table.py` tells
how). `make test` runs some of the cells and compares them with this page, `make trust` runs all of them.

- **retried**: boto3, our code or the state machine tries the call again; nobody notices.
- **job again**: the job run fails, the state machine starts another one, and that one succeeds.
- **redriven**: the execution fails, one e-mail says where and why; when the cause is gone, a redrive resumes there, and
  in the end every file is where it belongs and the KPIs are exact.
- **repeated**: the operator's command says that it failed, and why; repeated, it succeeds.
- **goes on**: the work succeeds; only metrics lack.
- **alarm**: nothing is sent or measured, which an alarm tells; the next run, or a redrive of the notifier, makes it up.
- **503**, **500**: what the API answers; the next request is answered as ever.
"""


def code(operation: str, error: str) -> str:
    """The code by which a service refuses in some way."""
    return CODES[operation.partition(":")[0]][ERRORS.index(error)]


class Named(Protocol):
    """A call as a test declares it."""

    @property
    def operation(self) -> str:
        """Service and operation as IAM writes them."""
        ...

    @property
    def purpose(self) -> str:
        """What for, in words; unique among the calls of a caller."""
        ...


CallT = TypeVar("CallT", bound=Named)
Rows = dict[tuple[str, str, str], list[str]]
"""By caller, operation and purpose: the outcome of each error once, then of each for good."""


def cells(calls: Sequence[CallT], *, every: int = 1) -> list[tuple[CallT, str, str]]:
    """The cells that a test runs: all if TRUST_FAULTS is `all`, else one of every so many calls."""
    if os.environ.get("TRUST_FAULTS") == "all":
        return [(call, error, times) for call in calls for times in TIMES for error in ERRORS]
    chosen = list(calls)[::every]
    return [(call, ERRORS[number % 4], TIMES[(number + number // 4) % 2]) for number, call in enumerate(chosen)]


def name_of(part: Named | str) -> str:
    """The name of a part of a cell, for a test's id."""
    return part if isinstance(part, str) else part.purpose


def check(caller: str, calls: Iterable[Named], call: Named, error: str, times: str, outcome: str) -> None:
    """Compares what a test found with the page, or writes it there if UPDATE_FAULTS is set.

    Args:
        caller: who makes the call, one of CALLERS.
        calls: all that it makes, in the order in which the page lists them.
        call: the one that failed.
        error: how, one of ERRORS.
        times: how often, one of TIMES.
        outcome: what became of it.
    """
    rows = read()
    row = rows.setdefault((caller, call.operation, call.purpose), [""] * len(ERRORS) * len(TIMES))
    column = TIMES.index(times) * len(ERRORS) + ERRORS.index(error)
    if os.environ.get("UPDATE_FAULTS"):
        row[column] = outcome
        order = [(caller, one.operation, one.purpose) for one in calls]
        rows = dict(sorted(rows.items(), key=lambda entry: order.index(entry[0]) if entry[0] in order else -1))
        PAGE.write_text(text(rows), encoding="utf-8")
    assert row[column] == outcome, f"{caller} {call.operation} {call.purpose}: {error} {times}"


def assert_complete(caller: str, calls: Iterable[Named]) -> None:
    """The page has a row for each call of a caller, no other row, and no cell without an outcome."""
    rows = {key[1:]: row for key, row in read().items() if key[0] == caller}
    assert rows.keys() == {(call.operation, call.purpose) for call in calls}
    assert [key for key, row in rows.items() if not all(row)] == []


def read() -> Rows:
    """The rows of the page."""
    rows: Rows = {}
    caller = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines() if PAGE.exists() else []:
        if line.startswith("## "):
            caller = line.removeprefix("## ")
        elif line.startswith("| `"):
            call, purpose, *outcomes = (part.strip() for part in line.strip("|").split("|"))
            rows[caller, call.strip("`"), purpose] = outcomes
    return rows


def text(rows: Rows) -> str:
    """The page."""
    head = ["call", "what for", *(f"{error} {times}" for times in TIMES for error in ERRORS)]
    parts = [_INTRODUCTION]
    for caller in CALLERS:
        table = [head, ["---"] * len(head)]
        table += [[f"`{key[1]}`", key[2], *row] for key, row in rows.items() if key[0] == caller]
        parts.append(f"## {caller}\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in table) + "\n")
    return "\n".join(parts)
