"""Objects under keys of their own, which S3 hands out only to those who have the key; moto hands them out to everybody.

An object that was put with a customer's key (SSE-C) is read with the same key only: HeadObject, GetObject and
CopyObject answer 400 without it (https://docs.aws.amazon.com/AmazonS3/latest/userguide/ServerSideEncryptionCustomerKeys.html).
An object under a KMS key is read, but for its head, only while that key is enabled
(https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html); who may use the key is IAM's affair
(`local_aws.iam.authorizations`). Objects that are uploaded in parts are not looked at for a customer's key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlparse

from moto.kms.models import kms_backends
from moto.s3.exceptions import S3ClientError
from moto.s3.models import FakeKey
from moto.s3.responses import S3Response

from local_aws.patching import MotoObject, replace

_ALGORITHM: Final = "x-amz-server-side-encryption-customer-algorithm"
_KEY_DIGEST: Final = "x-amz-server-side-encryption-customer-key-MD5"
_SOURCE_KEY_DIGEST: Final = "x-amz-copy-source-server-side-encryption-customer-key-MD5"
_KEY_STATES: Final[Mapping[str, str]] = {"Disabled": "KMS.DisabledException"}
"""State of a KMS key to the code of S3's answer; `KMS.KMSInvalidStateException` in any other but Enabled."""

_installed: Final[list[bool]] = []
_moto: Final[dict[str, Callable[..., Any]]] = {}
"""moto's own methods, by their names."""


class CustomerKeyRequiredError(S3ClientError):
    """The object is encrypted with a customer's key that the request does not have."""

    code = "InvalidRequest"

    def __init__(self) -> None:
        super().__init__(
            "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to "
            "retrieve the object."
        )


class KmsKeyRefusedError(S3ClientError):
    """The object is encrypted with a KMS key that is not enabled."""

    def __init__(self, key_id: str, state: str) -> None:
        super().__init__(_KEY_STATES.get(state, "KMS.KMSInvalidStateException"), f"{key_id} is {state}.")


def install() -> None:
    """Make moto's S3 ask for keys; a second call changes nothing."""
    if _installed:
        return
    _installed.append(True)
    methods = {
        "put_object": _put_object,
        "head_object": _head_object,
        "get_object": _get_object,
        "copy_object": _copy_object,
    }
    for name, method in methods.items():
        _moto[name] = replace(S3Response, name, method)


def customer_key_of(key: FakeKey) -> str | None:
    """Return the MD5 of the customer's key that an object is encrypted with; None without one."""
    digest: str | None = getattr(key, "customer_key_digest", None)
    return digest


def _put_object(self: MotoObject) -> MotoObject:
    answer = _moto["put_object"](self)
    if self.headers.get(_ALGORITHM):
        written = self.backend.get_object(self.bucket_name, self.parse_key_name())
        written.customer_key_digest = self.headers[_KEY_DIGEST]
    return answer


def _head_object(
    self: MotoObject, bucket_name: str, query: dict[str, Any], key_name: str, headers: MotoObject
) -> MotoObject:
    found = _version(self, bucket_name, key_name, query.get("versionId", [None])[0])
    if found and customer_key_of(found) != headers.get(_KEY_DIGEST):
        return 400, {}, ""
    return _moto["head_object"](self, bucket_name, query, key_name, headers)


def _get_object(self: MotoObject) -> MotoObject:
    version_id = self.querystring.get("versionId", [None])[0]
    found = _version(self, self.bucket_name, self.parse_key_name(), version_id)
    if found:
        _require_keys(self, found, self.headers.get(_KEY_DIGEST))
    return _moto["get_object"](self)


def _copy_object(self: MotoObject) -> MotoObject:
    source = urlparse(self.headers["x-amz-copy-source"])
    bucket, _, key = unquote(source.path).lstrip("/").partition("/")
    found = _version(self, bucket, key, parse_qs(source.query).get("versionId", [None])[0])
    if found:
        _require_keys(self, found, self.headers.get(_SOURCE_KEY_DIGEST))
    return _moto["copy_object"](self)


def _version(self: MotoObject, bucket: str, key: str, version_id: str | None) -> FakeKey | None:
    found: FakeKey | None = self.backend.get_object(bucket, key, version_id=version_id)
    return found


def _require_keys(self: MotoObject, found: FakeKey, digest: str | None) -> None:
    """Let a request read an object's bytes, or not.

    Raises:
        CustomerKeyRequiredError: It has not the customer's key.
        KmsKeyRefusedError: The KMS key is not enabled.
    """
    if customer_key_of(found) != digest:
        raise CustomerKeyRequiredError
    if found.kms_key_id is None:
        return
    kms = kms_backends[self.current_account][self.region]
    kms_key = kms.keys.get(kms.get_key_id(found.kms_key_id))
    if kms_key and kms_key.key_state != "Enabled":
        raise KmsKeyRefusedError(found.kms_key_id, kms_key.key_state)
