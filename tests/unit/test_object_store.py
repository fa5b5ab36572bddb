"""Objects are read and written whole or by range, by requests that the embedded AWS and S3 answer alike."""

from __future__ import annotations

import hashlib
import pickle
import random
import re
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import BotoCoreError, ClientError
from moto.moto_api._internal.models import moto_api_backend

from glue_scripts import object_store
from glue_scripts.object_store import ObjectChangedError, ObjectStore
from local_aws import s3_directory
from local_aws.environment import client_environment
from local_aws.iam.principals import ANYBODY
from local_aws.moto_server import MotoServer

RANGE = 1000
KEY = "curated/plays/listen_date=2024-06-25/run=r 1/ü+%.parquet"


def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@contextmanager
def clients_of(endpoint_url: str) -> Iterator[None]:
    """The environment that a job has, and ranges small enough for small objects to have several."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in client_environment(endpoint_url, "us-east-1", ANYBODY).items():
            patch.setenv(name, value)
        patch.setattr(object_store, "RANGE_BYTES", RANGE)
        object_store._client.cache_clear()
        yield
        object_store._client.cache_clear()


@pytest.fixture(scope="module")
def endpoint_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("aws")
    moto_api_backend.reset()
    s3_directory.install(folder / "buckets")
    with closing(MotoServer(0, folder / "requests.log")) as server:
        yield server.endpoint_url
    moto_api_backend.reset()
    s3_directory.uninstall()


@pytest.fixture
def store(endpoint_url: str) -> Iterator[ObjectStore]:
    with clients_of(endpoint_url):
        boto3.client("s3").create_bucket(Bucket="data")
        yield ObjectStore("data")


@pytest.mark.parametrize("size", [0, 1, RANGE - 1, RANGE, RANGE + 1, 3 * RANGE, 25 * RANGE + 7])
def test_what_is_written_is_read_whole(store: ObjectStore, size: int) -> None:
    store.write(KEY, content(size))
    assert store.read(KEY) == content(size)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_is_written_and_an_object_is_replaced(store: ObjectStore, kind: type) -> None:
    store.write(KEY, b"before, and longer")
    store.write(KEY, kind(b"after"))
    assert store.read(KEY) == b"after"


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 1), (0, 5500), (17, 18), (17, 17 + RANGE), (17, 18 + RANGE), (999, 5001), (5000, 5500), (5000, 10**9)],
)
def test_a_range_ends_before_its_end_or_with_the_object(store: ObjectStore, start: int, end: int) -> None:
    store.write(KEY, content(5500))
    assert store.read_range(KEY, start, end) == content(5500)[start:end]


def test_a_range_behind_the_end_is_an_error(store: ObjectStore) -> None:
    store.write(KEY, content(10))
    with pytest.raises(ClientError, match="InvalidRange"):
        store.read_range(KEY, 10, 20)


def test_a_missing_object_is_an_error_that_says_which_one(store: ObjectStore) -> None:
    with pytest.raises(ClientError, match="NoSuchKey") as missing:
        store.read("nothing here")
    assert missing.value.__notes__ == ["s3://data/nothing here"]


def test_an_object_that_is_overwritten_between_two_ranges_is_no_mixture(store: ObjectStore) -> None:
    store.write(KEY, content(5500))
    other_client = boto3.client("s3")

    def overwrite(**_: object) -> None:
        other_client.put_object(Bucket="data", Key=KEY, Body=content(5501))

    object_store._client().meta.events.register("after-call.s3.GetObject", overwrite)
    with pytest.raises(ObjectChangedError, match="was overwritten while it was read"):
        store.read(KEY)


def test_a_body_is_hashed_once_for_its_signature_and_by_no_checksum(store: ObjectStore) -> None:
    sent: list[dict[str, Any]] = []

    def note(request: AWSPreparedRequest, **_: object) -> None:
        sent.append({name.lower(): value for name, value in request.headers.items()})

    object_store._client().meta.events.register("before-send.s3.PutObject", note)
    store.write(KEY, content(5500))
    (headers,) = sent
    assert headers["x-amz-content-sha256"] == hashlib.sha256(content(5500)).hexdigest().encode()
    assert not [name for name in headers if "checksum" in name or "md5" in name or "trailer" in name]


def test_it_can_be_sent_to_a_task_and_equal_ones_are_one(store: ObjectStore) -> None:
    store.write(KEY, b"content")
    again = pickle.loads(pickle.dumps(store))
    assert again.read(KEY) == b"content"
    assert {store, again} == {store}


# What only a broken network shows: a server that answers as S3 does, and breaks on demand


class Answers(BaseHTTPRequestHandler):
    """Serves one object by ranges."""

    body = content(5 * RANGE)
    broken = 0
    """How many of the next answers end in the middle of their body."""
    together = threading.Barrier(1)
    """Holds back every range but the first, until enough of them have come."""

    def log_message(self, format: str, *args: object) -> None:
        """Writes nothing."""

    def do_GET(self) -> None:
        start, end = map(int, re.findall(r"\d+", self.headers["Range"]))
        if start:
            self.together.wait()
        part = self.body[start : end + 1]
        self.send_response(206)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Content-Range", f"bytes {start}-{start + len(part) - 1}/{len(self.body)}")
        self.send_header("ETag", '"one"')
        self.end_headers()
        if Answers.broken:
            Answers.broken -= 1
            part = part[: len(part) // 2]
        self.wfile.write(part)
        self.close_connection = True


@pytest.fixture
def s3_like() -> Iterator[ObjectStore]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with clients_of(f"http://127.0.0.1:{server.server_port}"):
        yield ObjectStore("data")
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_range_whose_connection_breaks_is_read_again(s3_like: ObjectStore) -> None:
    Answers.broken = 3
    assert s3_like.read("key") == Answers.body
    assert Answers.broken == 0


def test_a_connection_that_breaks_again_and_again_is_an_error(
    s3_like: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Answers, "broken", 100)
    with pytest.raises(BotoCoreError, match=r"IncompleteRead"):
        s3_like.read("key")
    assert Answers.broken == 100 - object_store.MAX_TRIES


def test_ranges_are_read_side_by_side(s3_like: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Answers, "together", threading.Barrier(4, timeout=30))
    assert s3_like.read("key") == Answers.body
