"""The S3 API and the directory `root/<bucket>/<key>` as two views of the same objects.

moto keeps objects in memory; Spark reads and writes the directory. So that neither sees old data:

- what the API writes is in the directory before its response; a deleted object's file is gone, and the previous version
  comes back when the current one is deleted;
- what a process writes in the directory is an object from the next request on (LIST, HEAD, GET, copies), with a version
  id and an event of its own; a file that is gone has been deleted. A request looks only at the key or below the prefix
  that it asks for; nothing is read but files whose inode, modification time or size differ from the last look.

The API keeps its own bytes of every version: what a process does to a file cannot change an older version.

Not in the directory, but in the API only: keys with an empty, `.` or `..` component (`a//b`, `a/`), or one of more than
255 bytes; the second of two keys of which one is a folder of the other (`a` and `a/b`); Hadoop's `.….crc` files.
Not in the API, though in the directory: empty folders, links, Hadoop's `.….crc` files, and whatever lies under a folder
`_temporary`, where Hadoop's committer keeps what it may still throw away; on AWS those are uploads under way.
A file that is written in place, not renamed into its place, is seen half-written.
On a file system that ignores case (macOS), keys that differ in case only cannot live together.
"""

from __future__ import annotations

import errno
import functools
import io
import os
import shutil
import stat
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from moto.core.utils import unix_time
from moto.events.models import events_backends
from moto.s3 import notifications
from moto.s3.models import FakeBucket, FakeDeleteMarker, FakeKey, S3Backend, s3_backends

from local_aws import s3_content
from local_aws.patching import MotoObject, replace

NAME_MAX: Final = 255
"""Bytes of a file name on ext4, APFS and most others."""

INCOMING: Final = ".incoming"
"""Folder of half-written files, beside the buckets: no bucket's name begins with a dot."""

_NOT_A_PATH: Final = frozenset({errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, errno.ENAMETOOLONG})
"""A file where a folder must be, a folder where the file must be, or a path too long: such a key is in the API only."""

COMMITTER_FOLDER: Final = "_temporary"
"""org.apache.hadoop.mapreduce.lib.output.FileOutputCommitter.PENDING_DIR_NAME"""


class Stamp(NamedTuple):
    """What tells one content of a file from another without reading it."""

    inode: int
    modified_ns: int
    size: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """The stamp of a file whose status is known."""
        return cls(status.st_ino, status.st_mtime_ns, status.st_size)


class Mirrored(NamedTuple):
    """An object that is in the directory: the version that the file holds, and the file's stamp."""

    version: FakeKey
    stamp: Stamp


class S3Directory:
    """Keeps moto's buckets and the directories below `root` the same.

    Every method that looks at both holds one lock; events are sent after it is released, because who receives one may
    call S3.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        (self._root / INCOMING).mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._mirrored: dict[str, dict[str, Mirrored]] = {}
        self._events = threading.local()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Holds the lock; events of moto that come up meanwhile are sent when the outermost holder lets go."""
        if getattr(self._events, "waiting", None) is not None:
            yield
            return
        waiting: list[Callable[[], None]] = []
        self._events.waiting = waiting
        try:
            with self._lock:
                yield
        finally:
            self._events.waiting = None
            for send in waiting:
                send()

    def postpone(self, send: Callable[[], None]) -> bool:
        """Keeps an event until the lock is free; False where this thread does not hold it."""
        waiting: list[Callable[[], None]] | None = getattr(self._events, "waiting", None)
        if waiting is None:
            return False
        waiting.append(send)
        return True

    def add_bucket(self, bucket: FakeBucket) -> None:
        """Makes the directory of a new bucket, empty as a new bucket is."""
        self.remove_bucket(bucket.name)
        (self._root / bucket.name).mkdir(parents=True)

    def remove_bucket(self, name: str) -> None:
        """Removes the directory of a bucket that was deleted."""
        self._mirrored.pop(name, None)
        if (self._root / name).exists():
            shutil.rmtree(self._root / name)

    def pull_key(self, backend: S3Backend, bucket: FakeBucket, key: str) -> None:
        """Tells the API what has become of one file."""
        path = self._path(bucket, key)
        if path is None:
            return
        try:
            status = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            status = None
        if status and stat.S_ISREG(status.st_mode) and not _is_hidden(key):
            self._pull_file(backend, bucket, key, path, Stamp.of(status))
        elif key in self._mirrored_of(bucket):
            self._pull_deletion(backend, bucket, key)

    def pull_prefix(self, backend: S3Backend, bucket: FakeBucket, prefix: str, *, settled_ns: int = 0) -> None:
        """Tells the API what has become of the files whose keys begin with `prefix`.

        Args:
            backend: moto's S3 of the account.
            bucket: the bucket.
            prefix: a key prefix, which need not end with a slash.
            settled_ns: leaves files alone that were modified in the last so many nanoseconds.
        """
        found = set()
        youngest = time.time_ns() - settled_ns
        for key, path, stamp in _files(self._root / bucket.name, prefix):
            found.add(key)
            if not settled_ns or stamp.modified_ns < youngest:
                self._pull_file(backend, bucket, key, path, stamp)
        gone = [key for key in self._mirrored_of(bucket) if key.startswith(prefix) and key not in found]
        for key in gone:
            self._pull_deletion(backend, bucket, key)

    def _pull_file(self, backend: S3Backend, bucket: FakeBucket, key: str, path: Path, stamp: Stamp) -> None:
        mirrored = self._mirrored_of(bucket)
        if key in mirrored and mirrored[key].stamp == stamp:
            return
        try:
            with path.open("rb") as file:
                # Taken before reading: a write that comes in between is found at the next look.
                stamp = Stamp.of(os.fstat(file.fileno()))
                content = file.read()
        except FileNotFoundError:
            return  # gone again; the next look finds that out
        version = _put_version(backend, bucket.name, key, content)
        mirrored[key] = Mirrored(version, stamp)

    def _pull_deletion(self, backend: S3Backend, bucket: FakeBucket, key: str) -> None:
        del self._mirrored_of(bucket)[key]
        _moto["delete_object"](backend, bucket.name, key)

    def push_key(self, bucket: FakeBucket, key: str, content: bytes | None = None) -> None:
        """Brings one file to what the API has as the current version.

        Args:
            bucket: the bucket.
            key: the key.
            content: the bytes of the current version, where they are at hand.
        """
        path = self._path(bucket, key)
        if path is None:
            return
        mirrored = self._mirrored_of(bucket)
        current = bucket.keys.get(key)
        if isinstance(current, FakeKey):
            if key not in mirrored or mirrored[key].version is not current:
                self._write(bucket, path, current, content)
        elif key in mirrored:
            del mirrored[key]
            path.unlink(missing_ok=True)
            self._remove_empty_folders(path.parent, bucket)

    def _write(self, bucket: FakeBucket, path: Path, version: FakeKey, content: bytes | None) -> None:
        draft = self._root / INCOMING / uuid.uuid4().hex
        with draft.open("wb") as file:
            s3_content.write(file, version.value if content is None else content)
        stamp = Stamp.of(draft.stat())
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.replace(path)
        except OSError as error:
            draft.unlink()
            if error.errno not in _NOT_A_PATH:
                raise
            return
        self._mirrored_of(bucket)[version.name] = Mirrored(version, stamp)

    def _remove_empty_folders(self, folder: Path, bucket: FakeBucket) -> None:
        """S3 has no folders: one disappears with its last object, but the bucket's own stays."""
        while folder != self._root / bucket.name:
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent

    def _mirrored_of(self, bucket: FakeBucket) -> dict[str, Mirrored]:
        return self._mirrored.setdefault(bucket.name, {})

    def _path(self, bucket: FakeBucket, key: str) -> Path | None:
        return self._root / bucket.name / key if is_file_name(key) else None


def is_file_name(key: str) -> bool:
    """Whether a key can be a path below the bucket's directory, and the same key be read back from it."""
    return "\0" not in key and all(
        component not in {"", ".", ".."} and len(component.encode("utf-8", "surrogatepass")) <= NAME_MAX
        for component in key.split("/")
    )


def _is_hidden(key: str) -> bool:
    """Whether a file of the directory is Hadoop's own affair and no object."""
    *folders, name = key.split("/")
    return COMMITTER_FOLDER in folders or (name.startswith(".") and name.endswith(".crc"))


def _files(directory: Path, prefix: str) -> Iterator[tuple[str, Path, Stamp]]:
    """Key, path and stamp of every file in a bucket's directory whose key begins with `prefix`."""
    folder, _, _ = prefix.rpartition("/")
    pending = [folder] if not folder or is_file_name(folder) else []
    while pending:
        folder = pending.pop()
        for entry in _entries(directory / folder):
            key = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                if entry.name != COMMITTER_FOLDER and (key.startswith(prefix) or prefix.startswith(key)):
                    pending.append(key)
            elif key.startswith(prefix) and entry.is_file(follow_symlinks=False) and not _is_hidden(key):
                try:
                    yield key, Path(entry.path), Stamp.of(entry.stat(follow_symlinks=False))
                except FileNotFoundError:
                    continue  # renamed or deleted while we looked


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def install(root: Path) -> None:
    """Makes `root/<bucket>/` the directory of every bucket of moto in this process.

    A second call takes another root; what the first one held is forgotten, so moto's buckets should be too.

    Args:
        root: folder of the buckets; it is made if it does not exist.
    """
    global _active
    _active = S3Directory(root)
    _patch_moto()


def uninstall() -> None:
    """Leaves moto's buckets to moto; the directory stays as it is."""
    global _active
    _active = None


def synchronize(*, settled_seconds: float = 0.0) -> None:
    """Tells the API, and who waits for its events, of everything that has changed in the directory.

    Args:
        settled_seconds: leaves files alone that were modified in the last so many seconds: they may still be written.
    """
    if _active is None:
        return
    for name, (partition, account) in tuple(s3_backends.bucket_accounts.items()):
        backend = s3_backends[account][partition]
        with _active.exclusive():
            bucket = backend.buckets.get(name)
            if bucket:
                _active.pull_prefix(backend, bucket, "", settled_ns=int(settled_seconds * 1e9))


_active: S3Directory | None = None

_moto: dict[str, Callable[..., Any]] = {}
"""moto's own methods, by their names."""


def _patch_moto() -> None:
    if _moto:
        return
    s3_content.install()
    methods = {
        "create_bucket": _create_bucket,
        "delete_bucket": _delete_bucket,
        "put_object": _put_object,
        "copy_object": _copy_object,
        "delete_object": _delete_object,
        "get_object": _get_object,
        "list_objects": _list_objects,
        "list_object_versions": _list_object_versions,
    }
    for name, method in methods.items():
        _moto[name] = replace(S3Backend, name, method)
    _moto["send_event"] = replace(notifications, "send_event", _send_event)
    replace(notifications, "_send_event_bridge_message", _send_event_bridge_message)
    # list_object_versions copies every version of a bucket, with its bytes, only to set an attribute on it.
    FakeKey.__deepcopy__ = _copy_without_content  # type: ignore[attr-defined]


def _create_bucket(self: S3Backend, *args: MotoObject, **kwargs: MotoObject) -> FakeBucket:
    bucket: FakeBucket = _moto["create_bucket"](self, *args, **kwargs)
    if _active:
        with _active.exclusive():
            _active.add_bucket(bucket)
    return bucket


def _delete_bucket(self: S3Backend, bucket_name: str) -> FakeBucket | None:
    if _active is None:
        return _moto["delete_bucket"](self, bucket_name)  # type: ignore[no-any-return]
    with _active.exclusive():
        _active.pull_prefix(self, self.get_bucket(bucket_name), "")
        deleted: FakeBucket | None = _moto["delete_bucket"](self, bucket_name)
        if deleted:
            _active.remove_bucket(bucket_name)
        return deleted


def _put_object(
    self: S3Backend, bucket_name: str, key_name: str, value: bytes | str, *args: MotoObject, **kwargs: MotoObject
) -> FakeKey:
    if _active is None:
        return _moto["put_object"](self, bucket_name, key_name, value, *args, **kwargs)  # type: ignore[no-any-return]
    if kwargs.get("multipart"):
        # moto would announce a multipart upload twice, as PutObject and as CompleteMultipartUpload.
        kwargs["disable_notification"] = True
    with _active.exclusive():
        bucket = self.get_bucket(bucket_name)
        _active.pull_key(self, bucket, key_name)
        if not kwargs.get("multipart"):
            kwargs["etag"] = kwargs.get("etag") or s3_content.signed_etag()
        version = _put_version(self, bucket_name, key_name, value, *args, **kwargs)
        _active.push_key(bucket, key_name, value if isinstance(value, bytes) else None)
        return version


def _put_version(backend: S3Backend, *args: MotoObject, **kwargs: MotoObject) -> FakeKey:
    version: FakeKey = _moto["put_object"](backend, *args, **kwargs)
    # Computed on first use, from the buffer that a reader may be moving in at the same time.
    _ = version.etag
    return version


def _copy_object(
    self: S3Backend, src_key: FakeKey, dest_bucket_name: str, dest_key_name: str, **kwargs: MotoObject
) -> None:
    """Gives the copy of a multipart upload no checksum.

    moto gives it the checksum of the parts' checksums (`COMPOSITE`) as if it were that of the whole, and who reads the
    copy by boto3 gets a FlexibleChecksumError. AWS computes the whole's: a copy is in one piece.
    """
    _moto["copy_object"](self, src_key, dest_bucket_name, dest_key_name, **kwargs)
    copied = self.get_bucket(dest_bucket_name).keys.get(dest_key_name)
    if _active and src_key.checksum_type == "COMPOSITE" and isinstance(copied, FakeKey):
        copied.checksum_algorithm = copied.checksum_value = None


def _delete_object(
    self: S3Backend, bucket_name: str, key_name: str, *args: MotoObject, **kwargs: MotoObject
) -> MotoObject:
    if _active is None:
        return _moto["delete_object"](self, bucket_name, key_name, *args, **kwargs)
    with _active.exclusive():
        bucket = self.get_bucket(bucket_name)
        _active.pull_key(self, bucket, key_name)
        result = _moto["delete_object"](self, bucket_name, key_name, *args, **kwargs)
        _active.push_key(bucket, key_name)
        return result


def _get_object(
    self: S3Backend, bucket_name: str, key_name: str, *args: MotoObject, **kwargs: MotoObject
) -> MotoObject:
    if _active is None:
        return _moto["get_object"](self, bucket_name, key_name, *args, **kwargs)
    with _active.exclusive():
        _active.pull_key(self, self.get_bucket(bucket_name), key_name)
        return _moto["get_object"](self, bucket_name, key_name, *args, **kwargs)


def _list_objects(
    self: S3Backend, bucket: FakeBucket, prefix: str | None, *args: MotoObject, **kwargs: MotoObject
) -> MotoObject:
    if _active is None:
        return _moto["list_objects"](self, bucket, prefix, *args, **kwargs)
    with _active.exclusive():
        _active.pull_prefix(self, bucket, prefix or "")
        return _moto["list_objects"](self, bucket, prefix, *args, **kwargs)


def _list_object_versions(self: S3Backend, bucket_name: str, *args: MotoObject, **kwargs: MotoObject) -> MotoObject:
    if _active is None:
        return _moto["list_object_versions"](self, bucket_name, *args, **kwargs)
    with _active.exclusive():
        _active.pull_prefix(self, self.get_bucket(bucket_name), kwargs.get("prefix") or "")
        return _moto["list_object_versions"](self, bucket_name, *args, **kwargs)


def _copy_without_content(self: FakeKey, memo: dict[int, Any]) -> FakeKey:
    _ = self.etag  # computed from the content on first use
    copied = object.__new__(type(self))
    # A key closes its buffer, and those of its parts, when it is garbage: the copy must not share them.
    copied.__dict__.update(self.__dict__, _value_buffer=io.BytesIO(), multipart=None, disposed=True)
    return copied


def _send_event(account_id: str, event_name: str, bucket: FakeBucket, key: MotoObject) -> None:
    send = functools.partial(_moto["send_event"], account_id, event_name, bucket, key)
    if _active is None or not _active.postpone(send):
        send()


_REASONS: Final[Mapping[str, str]] = {
    "s3:ObjectCreated:Put": "PutObject",
    "s3:ObjectCreated:Post": "POST Object",
    "s3:ObjectCreated:Copy": "CopyObject",
    "s3:ObjectCreated:CompleteMultipartUpload": "CompleteMultipartUpload",
    "s3:ObjectRemoved:Delete": "DeleteObject",
}
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html; moto writes `ObjectCreated` in their place."""


def _send_event_bridge_message(
    account_id: str, bucket: FakeBucket, event_name: notifications.S3NotificationEvent, key: MotoObject
) -> None:
    """Sends the event of one object to the rules of every bus, as moto does, with the fields as AWS fills them."""
    event: MotoObject = {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": notifications._detail_type(event_name),
        "source": "aws.s3",
        "account": account_id,
        "time": unix_time(),
        "region": bucket.region_name,
        "resources": [bucket.arn],
        "detail": {
            "version": "0",
            "bucket": {"name": bucket.name},
            "object": _event_object(key),
            "request-id": uuid.uuid4().hex[:16].upper(),
            "requester": account_id,
            "source-ip-address": "127.0.0.1",
            "reason": _REASONS.get(event_name, event_name[3:]),
        },
    }
    for bus in tuple(events_backends[account_id][bucket.region_name].event_buses.values()):
        for rule in tuple(bus.rules.values()):
            rule.send_to_targets(event, transform_input=False)


def _event_object(key: MotoObject) -> dict[str, Any]:
    described: dict[str, Any] = {"key": key.name, "sequencer": f"{time.time_ns():018X}"}
    if not isinstance(key, FakeDeleteMarker):
        described |= {"size": key.size, "etag": key.etag.strip('"')}
    if key.version_id != "null":
        described["version-id"] = key.version_id
    return described
