"""Who has signed a request, and whether the signature is theirs: Signature Version 4, in a header or in the address.

The signature is computed once more by botocore's own signer, with the secret of the access key, and compared.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

What S3 lets a client leave out of the signature is as there: the body of a presigned request, and one that is declared
`UNSIGNED-PAYLOAD` or `STREAMING-UNSIGNED-PAYLOAD-TRAILER`. Not emulated, and refused: Signature Version 2, chunks that
are signed one by one (`STREAMING-AWS4-…`, which AWS's SDK for Java sends), presigned requests to other services than
S3, and uploads by an HTML form.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import parse_qs, quote, unquote_plus

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials as BotoCredentials
from moto.core.request import Request

from local_aws.iam.principals import Credentials

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

ALGORITHM: Final = "AWS4-HMAC-SHA256"
UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
UNSIGNED_PAYLOADS: Final = frozenset({UNSIGNED_PAYLOAD, "STREAMING-UNSIGNED-PAYLOAD-TRAILER"})
CONTENT_HASH: Final = "x-amz-content-sha256"
"""The header that declares the body's hash; S3 requires it."""

_HEX_HASH: Final = re.compile(r"[0-9a-f]{64}")
_HEADER: Final = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=(?P<credential>[^,\s]+)\s*,\s*SignedHeaders=(?P<signed>[^,\s]+)\s*,"
    r"\s*Signature=(?P<signature>[0-9a-f]{64})\s*"
)
_CREDENTIAL: Final = re.compile(r"(?P<key>[^/]+)/(?P<date>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")
_TIME: Final = "%Y%m%dT%H%M%SZ"
_MAX_SKEW_SECONDS: Final = 5 * 60
_MAX_SKEW_SECONDS_OF_S3: Final = 15 * 60
"""https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html: RequestTimeTooSkewed."""
_MAX_EXPIRES_SECONDS: Final = 7 * 24 * 3600


class Fault(Enum):
    """What is wrong with a signature; `answers` has the codes by which services say so."""

    MISSING = auto()
    SEVERAL = auto()
    UNSUPPORTED = auto()
    MALFORMED = auto()
    UNKNOWN_KEY = auto()
    WRONG_TOKEN = auto()
    SKEWED = auto()
    EXPIRED = auto()
    HEADERS_NOT_SIGNED = auto()
    NO_CONTENT_HASH = auto()
    STREAMING = auto()
    WRONG = auto()
    WRONG_BODY = auto()
    TOO_LARGE = auto()


class SignatureRefusedError(Exception):
    """A request is not signed as it must be.

    Args:
        fault: What is wrong.
        message: The text of the answer.
        service: Service that the request was signed for; S3 where that is not known.
    """

    def __init__(self, fault: Fault, message: str, service: str = "s3") -> None:
        super().__init__(message)
        self.fault: Final = fault
        self.service: Final = service


@dataclass(frozen=True)
class SignedRequest:
    """The parts of a request that a signature covers.

    Attributes:
        method: In capitals.
        path: Its path, as the client has encoded it.
        query: Its query, as the client has encoded it.
        headers: Name in lower case to value; several values of a name are joined by commas.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]

    @classmethod
    def of(cls, environ: WSGIEnvironment) -> Self:
        """Return those of a request that came by HTTP."""
        request = Request(environ, populate_request=False)
        headers = {name.lower(): value for name, value in request.headers}
        return cls(request.method, request.raw_path, environ.get("QUERY_STRING", ""), headers)


@dataclass(frozen=True)
class Signature:
    """A signature as the request carries it.

    Attributes:
        access_key: The access key.
        date: Day for which the key is derived, YYYYMMDD.
        region: The region.
        service: Name of the service as requests to it are signed, such as `states`.
        time: When it was made, such as `20261124T120000Z`.
        token: Token of a role's session; empty if there is none.
        signed_headers: Names of the headers that it covers, in lower case.
        value: The signature itself.
        expires_seconds: How long a presigned address can be used; None where the signature is in a header.
    """

    access_key: str
    date: str
    region: str
    service: str
    time: str
    token: str
    signed_headers: tuple[str, ...]
    value: str
    expires_seconds: int | None = None

    @classmethod
    def of(cls, request: SignedRequest) -> Self:
        """Read the signature of a request.

        Raises:
            SignatureRefusedError: It has none, or not one that is understood here.
        """
        authorization = request.headers.get("authorization", "")
        query = parse_qs(request.query, keep_blank_values=True)
        is_presigned = "X-Amz-Signature" in query or "X-Amz-Credential" in query
        if authorization and is_presigned:
            raise SignatureRefusedError(Fault.SEVERAL, "Only one auth mechanism allowed")
        if authorization.startswith("AWS ") or "AWSAccessKeyId" in query:
            text = f"The authorization mechanism you have provided is not supported. Please use {ALGORITHM}."
            raise SignatureRefusedError(Fault.UNSUPPORTED, text)
        if authorization:
            return cls._of_header(authorization, request.headers)
        if is_presigned:
            return cls._of_query(query)
        raise SignatureRefusedError(Fault.MISSING, "Access Denied: the request is not signed.")

    @classmethod
    def _of_header(cls, authorization: str, headers: Mapping[str, str]) -> Self:
        found = _HEADER.fullmatch(authorization)
        scope = found and _CREDENTIAL.fullmatch(found["credential"])
        if found is None or scope is None:
            text = f"The authorization header is malformed: {ALGORITHM} needs Credential, SignedHeaders and Signature."
            raise SignatureRefusedError(Fault.MALFORMED, text)
        return cls(
            **_scope(scope),
            time=headers.get("x-amz-date", ""),
            token=headers.get("x-amz-security-token", ""),
            signed_headers=tuple(found["signed"].split(";")),
            value=found["signature"],
        )

    @classmethod
    def _of_query(cls, query: Mapping[str, list[str]]) -> Self:
        def one(name: str, default: str | None = None) -> str:
            values = query.get(name, [] if default is None else [default])
            if len(values) != 1:
                raise _malformed_query(f"it needs one {name}")
            return values[0]

        scope = _CREDENTIAL.fullmatch(one("X-Amz-Credential"))
        if scope is None or one("X-Amz-Algorithm") != ALGORITHM or not one("X-Amz-Expires").isdecimal():
            raise _malformed_query("X-Amz-Credential, X-Amz-Algorithm or X-Amz-Expires is none")
        if scope["service"] != "s3":
            raise SignatureRefusedError(
                Fault.UNSUPPORTED, "Presigned addresses of S3 only are emulated.", scope["service"]
            )
        expires = int(one("X-Amz-Expires")[:9])
        if not 0 < expires <= _MAX_EXPIRES_SECONDS:
            raise _malformed_query(f"X-Amz-Expires must be at least 1 and at most {_MAX_EXPIRES_SECONDS} seconds")
        return cls(
            **_scope(scope),
            time=one("X-Amz-Date"),
            token=one("X-Amz-Security-Token", ""),
            signed_headers=tuple(one("X-Amz-SignedHeaders").split(";")),
            value=one("X-Amz-Signature"),
            expires_seconds=expires,
        )

    @property
    def authorization(self) -> str:
        """The header that says the same."""
        scope = f"{self.access_key}/{self.date}/{self.region}/{self.service}/aws4_request"
        return f"{ALGORITHM} Credential={scope}, SignedHeaders={';'.join(self.signed_headers)}, Signature={self.value}"


def _scope(found: re.Match[str]) -> dict[str, Any]:
    return {
        "access_key": found["key"],
        "date": found["date"],
        "region": found["region"],
        "service": found["service"],
    }


def _malformed_query(what: str) -> SignatureRefusedError:
    return SignatureRefusedError(Fault.MALFORMED, f"The signature in the address is malformed: {what}.")


def declared_hash(request: SignedRequest, signature: Signature) -> str:
    """Return what a request to S3 declares about its body: a hash in hexadecimal, or one of UNSIGNED_PAYLOADS.

    Raises:
        SignatureRefusedError: It declares nothing, or something that is not emulated.
    """
    if signature.expires_seconds is not None:
        return UNSIGNED_PAYLOAD
    declared = request.headers.get(CONTENT_HASH)
    if declared is None:
        text = f"Missing required header for this request: {CONTENT_HASH}"
        raise SignatureRefusedError(Fault.NO_CONTENT_HASH, text, signature.service)
    if declared.startswith("STREAMING-AWS4-"):
        text = f"Chunks that are signed one by one are not emulated: declare {UNSIGNED_PAYLOAD} or the body's hash."
        raise SignatureRefusedError(Fault.STREAMING, text, signature.service)
    if declared not in UNSIGNED_PAYLOADS and not _HEX_HASH.fullmatch(declared):
        text = f"{CONTENT_HASH} must be {' or '.join(sorted(UNSIGNED_PAYLOADS))} or a hash, not {declared[:100]!r}."
        raise SignatureRefusedError(Fault.NO_CONTENT_HASH, text, signature.service)
    return declared


def verify(
    request: SignedRequest, signature: Signature, credentials: Credentials, *, payload_hash: str, now: datetime
) -> None:
    """Check that a request was signed with an access key's secret, and not too long ago.

    Args:
        request: The request.
        signature: What it carries.
        credentials: Those of its access key.
        payload_hash: Hash of the body, or what S3 lets a request declare in its place.
        now: The time.

    Raises:
        SignatureRefusedError: It was not.
    """
    if not hmac.compare_digest(signature.token.encode(), credentials.session_token.encode()):
        text = "The provided token is malformed or otherwise invalid."
        raise SignatureRefusedError(Fault.WRONG_TOKEN, text, signature.service)
    _check_time(signature, now)
    _check_headers(request, signature)
    expected = _expected(request, signature, credentials, payload_hash)
    declared = request.headers.get(CONTENT_HASH, payload_hash)
    if declared != payload_hash or not hmac.compare_digest(expected.encode(), signature.value.encode()):
        text = (
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method. Consult the service documentation for details."
        )
        raise SignatureRefusedError(Fault.WRONG, text, signature.service)


def _check_time(signature: Signature, now: datetime) -> None:
    try:
        made = datetime.strptime(signature.time, _TIME).replace(tzinfo=UTC)
    except ValueError as error:
        text = "The request has no date of the form YYYYMMDD'T'HHMMSS'Z' in x-amz-date."
        raise SignatureRefusedError(Fault.MALFORMED, text, signature.service) from error
    if not signature.time.startswith(signature.date):
        text = "The date of the credential scope is not the date of x-amz-date."
        raise SignatureRefusedError(Fault.MALFORMED, text, signature.service)
    age = (now - made).total_seconds()
    limit = _MAX_SKEW_SECONDS_OF_S3 if signature.service == "s3" else _MAX_SKEW_SECONDS
    if signature.expires_seconds is None:
        if abs(age) > limit:
            text = f"The difference between the request time and the current time is too large ({age:.0f} s)."
            raise SignatureRefusedError(Fault.SKEWED, text, signature.service)
    elif age > signature.expires_seconds:
        raise SignatureRefusedError(Fault.EXPIRED, "Request has expired", signature.service)
    elif age < -limit:
        raise SignatureRefusedError(Fault.EXPIRED, "Request is not valid yet", signature.service)


def _check_headers(request: SignedRequest, signature: Signature) -> None:
    must = {name for name in request.headers if name == "host" or name.startswith("x-amz-")} | {"host"}
    if missing := sorted(must - set(signature.signed_headers)):
        text = f"There were headers present in the request which were not signed: {', '.join(missing)}"
        raise SignatureRefusedError(Fault.HEADERS_NOT_SIGNED, text, signature.service)


class _Signer(SigV4Auth):
    """Signs the headers that a client has signed, with a hash of the body that is known."""

    def __init__(self, credentials: BotoCredentials, signature: Signature, payload_hash: str) -> None:
        super().__init__(credentials, signature.service, signature.region)
        self._payload_hash = payload_hash

    def headers_to_sign(self, request: AWSRequest) -> HTTPHeaders:
        headers: HTTPHeaders = request.headers
        return headers

    def payload(self, request: AWSRequest) -> str:
        return self._payload_hash


class _S3Signer(_Signer, S3SigV4Auth):
    """As S3 has it, whose paths are encoded once."""


def _expected(request: SignedRequest, signature: Signature, credentials: Credentials, payload_hash: str) -> str:
    signer = (_S3Signer if signature.service == "s3" else _Signer)(
        BotoCredentials(credentials.access_key, credentials.secret_key), signature, payload_hash
    )
    query = _without_signature(request.query) if signature.expires_seconds is not None else request.query
    path = request.path.replace(
        "#", "%23"
    )  # moto takes what follows for a part of the key, botocore for none of the address
    url = f"http://{request.headers.get('host', '')}{path}?{_canonical(query)}"
    headers = {name: request.headers.get(name, "") for name in signature.signed_headers}
    signed = AWSRequest(request.method, url, headers=headers)
    signed.context["timestamp"] = signature.time
    return str(signer.signature(signer.string_to_sign(signed, signer.canonical_request(signed)), signed))


def _without_signature(query: str) -> str:
    return "&".join(part for part in query.split("&") if not part.startswith("X-Amz-Signature="))


def _canonical(query: str) -> str:
    """A query in the one encoding that is signed; read as moto reads it, so that no other reading has its signature."""
    pairs = (part.partition("=") for part in query.split("&") if part)
    return "&".join(f"{_encoded(name)}={_encoded(value)}" for name, _, value in pairs)


def _encoded(text: str) -> str:
    return quote(unquote_plus(text, errors="surrogateescape"), safe="-_.~", errors="surrogateescape")
