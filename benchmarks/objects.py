"""How fast objects are read and written on the embedded AWS: `python -m benchmarks.objects`. Prints MB/s.

The server is this process, the client another one, as in a run of the pipeline, and every request is signed and
verified. MB are 10**6 bytes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import boto3

from benchmarks.aws import BUCKET, ROOT
from glue_scripts.object_store import ObjectStore
from local_aws import s3_directory
from local_aws.environment import client_environment
from local_aws.iam.enforcement import Enforcement
from local_aws.moto_server import MotoServer
from local_aws.server import ACCOUNT, REGION

LARGE_BYTES: Final = 64 * 2**20
SMALL_BYTES: Final = 1000
ROUNDS: Final = 5
SMALL_OBJECTS: Final = 100


def measure() -> None:
    """Serves an empty account to a client process, which prints what it measures."""
    with tempfile.TemporaryDirectory() as folder:
        s3_directory.install(Path(folder) / "buckets")
        iam = Enforcement(ACCOUNT, REGION)
        server = MotoServer(0, Path(folder) / "requests.log", guard=iam.application)
        try:
            session = boto3.Session(**iam.operator.for_boto3(), region_name=REGION)
            session.client("s3", endpoint_url=server.endpoint_url).create_bucket(Bucket=BUCKET)
            environment = {**os.environ, **client_environment(server.endpoint_url, REGION, iam.operator)}
            command = [sys.executable, "-m", "benchmarks.objects", "client"]
            subprocess.run(command, check=True, cwd=ROOT, env=environment)
        finally:
            server.close()
            s3_directory.uninstall()


def _measure(store: ObjectStore) -> None:
    body, small = os.urandom(LARGE_BYTES), os.urandom(SMALL_BYTES)
    store.write("large", body)
    if store.read("large") != body:
        raise AssertionError("what was read is not what was written")
    for name, work in {
        "PUT of 64 MiB": lambda: store.write("large", body),
        "GET of 64 MiB in parallel ranges": lambda: store.read("large"),
    }.items():
        print(f"{name}: {LARGE_BYTES / 1e6 / _best_of(work):.0f} MB/s")

    def small_puts() -> None:
        for number in range(SMALL_OBJECTS):
            store.write(f"small/{number}", small)

    print(f"PUT of {SMALL_BYTES} bytes: {1000 * _best_of(small_puts) / SMALL_OBJECTS:.1f} ms")


def _best_of(work: Callable[[], object]) -> float:
    """Seconds of the fastest round."""
    seconds = []
    for _ in range(ROUNDS):
        started = time.monotonic()
        work()
        seconds.append(time.monotonic() - started)
    return min(seconds)


if __name__ == "__main__":
    if sys.argv[1:] == ["client"]:
        _measure(ObjectStore(BUCKET))
    else:
        measure()
