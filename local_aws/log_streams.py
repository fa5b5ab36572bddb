"""What processes write to files, put into log streams of CloudWatch Logs while they run.

The files stay, and hold everything. moto holds the streams in memory. So a stream gets the beginning of a long log
while it is written, and its last lines when the process has ended. A note between them says that lines are left out.
"""

from __future__ import annotations

import codecs
import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local_aws.iam.principals import Credentials

_Client: TypeAlias = Any
"""A boto3 client of CloudWatch Logs."""

_LOG: Final = logging.getLogger(__name__)

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
MAX_EVENT_BYTES: Final = 256 * 1024
MAX_BATCH_BYTES: Final = 1024 * 1024
MAX_BATCH_EVENTS: Final = 10_000
EVENT_OVERHEAD: Final = 26
"""Bytes that CloudWatch Logs counts for an event beside its message."""

LIVE_BYTES: Final = 8 * 1024 * 1024
"""What a stream gets of a log while it is written."""

TAIL_BYTES: Final = 512 * 1024
"""What a stream gets of the end of a longer log."""

_HELD_PER_EVENT: Final = 512
"""Bytes that moto holds for an event beside its message, about."""

_READ_BYTES: Final = 256 * 1024


class LogStream:
    """A stream that is made when the first message comes.

    A stream that cannot be written to is given up: what it is about does not fail by that, as on AWS.

    Args:
        endpoint_url: Where the embedded AWS answers.
        region: Its region.
        credentials: As whom the messages are put.
        group: Name of the log group.
        name: Name of the stream.
    """

    def __init__(self, endpoint_url: str, region: str, credentials: Credentials, *, group: str, name: str) -> None:
        self._endpoint_url = endpoint_url
        self._region = region
        self._credentials = credentials
        self._group = group
        self._name = name
        self._client: _Client | None = None
        self._is_given_up = False

    def put(self, messages: Iterable[str]) -> None:
        """Add messages, each an event, in as many requests as the limits of PutLogEvents ask for."""
        for batch in batches(messages):
            if self._is_given_up:
                return
            try:
                self._put(batch)
            except (ClientError, BotoCoreError) as error:
                self._is_given_up = True
                _LOG.warning("the stream %s of the log group %s gets nothing more: %s", self._name, self._group, error)

    def _put(self, batch: list[str]) -> None:
        if self._client is None:
            client = self._new_client()
            self._make(client)
            self._client = client
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": message} for message in batch]
        self._client.put_log_events(logGroupName=self._group, logStreamName=self._name, logEvents=events)

    def _make(self, client: _Client) -> None:
        try:
            client.create_log_stream(logGroupName=self._group, logStreamName=self._name)
        except client.exceptions.ResourceNotFoundException:
            client.create_log_group(logGroupName=self._group)
            client.create_log_stream(logGroupName=self._group, logStreamName=self._name)

    def _new_client(self) -> _Client:
        # A session of its own: boto3's default one is not thread safe. Without the user's profile, which may not exist.
        core = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
        client: _Client = boto3.Session(botocore_session=core).client(
            "logs",
            endpoint_url=self._endpoint_url,
            region_name=self._region,
            **self._credentials.for_boto3(),
            config=Config(proxies={}, retries={"total_max_attempts": 1}),
        )
        return client


class FollowedLog:
    """A file that a process writes, line by line in a stream.

    Its methods may be called by several threads.

    Args:
        path: The file.
        stream: What gets its lines.
        live_bytes: What the stream gets while the file is written.
        tail_bytes: What it gets of the end, if the file is longer.
    """

    def __init__(
        self, path: Path, stream: LogStream, *, live_bytes: int = LIVE_BYTES, tail_bytes: int = TAIL_BYTES
    ) -> None:
        self._path = path
        self._stream = stream
        self._live_bytes = live_bytes
        self._tail_bytes = tail_bytes
        self._lock = threading.Lock()
        self._offset = 0

    def follow(self) -> None:
        """Put the whole lines that have been written since the last call, as long as the stream takes more."""
        with self._lock:
            self._put_live(has_ended=False)

    def finish(self) -> None:
        """Put what is left when the process has ended."""
        with self._lock:
            self._put_live(has_ended=True)
            size = self._path.stat().st_size
            if size > self._offset:
                self._put_tail(size)
                self._offset = size

    def _put_live(self, *, has_ended: bool) -> None:
        begin = -1
        while self._live_bytes > 0 and self._offset > begin:
            begin = self._offset
            data = self._read(begin, _READ_BYTES)
            end = data.rfind(b"\n") + 1
            if not end and (has_ended or len(data) == _READ_BYTES):
                # The end of a log, or a part of a long line, without half a character.
                _, end = codecs.utf_8_decode(data, "replace", has_ended and len(data) < _READ_BYTES)
            self._stream.put(self._messages(data[:end]))

    def _messages(self, data: bytes) -> Iterator[str]:
        """Yield the lines as long as the stream takes more, and move the offset on."""
        for line in data.splitlines(keepends=True):
            if self._live_bytes <= 0:
                return
            self._offset += len(line)
            for piece in pieces(line.rstrip(b"\r\n")):
                self._live_bytes -= _held(piece)
                yield piece

    def _put_tail(self, size: int) -> None:
        begin = max(self._offset, size - self._tail_bytes)
        tail: deque[str] = deque()
        held = 0
        for line in reversed(self._read(begin, size - begin).splitlines()):
            found = [*pieces(line)]
            held += sum(map(_held, found))
            if held > self._tail_bytes and tail:
                break
            tail.extendleft(reversed(found))
        self._stream.put([f"[Lines are left out here. {self._path} holds all {size} bytes of this log.]", *tail])

    def _read(self, offset: int, size: int) -> bytes:
        with self._path.open("rb") as file:
            file.seek(offset)
            return file.read(size)


def _held(message: str) -> int:
    return len(message.encode()) + _HELD_PER_EVENT


def pieces(line: bytes) -> Iterator[str]:
    """Yield a line as messages that are not longer than an event may be; an empty line is none.

    Bytes that are not UTF-8 become U+FFFD.
    """
    data = line.decode("utf-8", "replace").encode()
    while data:
        piece = data[: MAX_EVENT_BYTES - EVENT_OVERHEAD].decode("utf-8", "ignore")  # without half a character
        yield piece
        data = data[len(piece.encode()) :]


def batches(messages: Iterable[str]) -> Iterator[list[str]]:
    """Yield the messages in lists that one PutLogEvents takes."""
    batch: list[str] = []
    size = 0
    for message in messages:
        cost = len(message.encode()) + EVENT_OVERHEAD
        if batch and (size + cost > MAX_BATCH_BYTES or len(batch) == MAX_BATCH_EVENTS):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += cost
    if batch:
        yield batch
