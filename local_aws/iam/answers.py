"""The answer to a caller that may not, or that has not signed its request, as each protocol of AWS writes it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Final
from xml.sax.saxutils import escape

from werkzeug.wrappers import Response

from local_aws.iam.signatures import Fault, SignatureRefusedError

# The codes by which services name a refusal, where it is another than their protocol's usual one.
_CODES: Final[Mapping[str, str]] = {"sns": "AuthorizationError", "sqs": "AccessDenied"}
_PROTOCOLS: Final[Mapping[str, str]] = {
    "apigateway": "rest-json",
    "iam": "query",
    "lambda": "rest-json",
    "monitoring": "query",
    "s3": "rest-xml",
    "sns": "query",
    "sts": "query",
}
"""Service to the protocol of an answer to a request that is not read further; `json` for other services."""

_S3_FAULTS: Final[Mapping[Fault, tuple[int, str]]] = {
    Fault.MISSING: (403, "AccessDenied"),
    Fault.SEVERAL: (400, "InvalidArgument"),
    Fault.UNSUPPORTED: (400, "InvalidRequest"),
    Fault.MALFORMED: (400, "AuthorizationHeaderMalformed"),
    Fault.UNKNOWN_KEY: (403, "InvalidAccessKeyId"),
    Fault.WRONG_TOKEN: (400, "InvalidToken"),
    Fault.SKEWED: (403, "RequestTimeTooSkewed"),
    Fault.EXPIRED: (403, "AccessDenied"),
    Fault.HEADERS_NOT_SIGNED: (403, "AccessDenied"),
    Fault.NO_CONTENT_HASH: (400, "InvalidRequest"),
    Fault.STREAMING: (501, "NotImplemented"),
    Fault.WRONG: (403, "SignatureDoesNotMatch"),
    Fault.WRONG_BODY: (400, "XAmzContentSHA256Mismatch"),
    Fault.TOO_LARGE: (413, "EntityTooLarge"),
}
"""https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList"""

_WRONG_SIGNATURE: Final = ("SignatureDoesNotMatch", "InvalidSignatureException")
_FAULTS: Final[Mapping[Fault, tuple[str, str]]] = {
    Fault.MISSING: ("MissingAuthenticationToken", "MissingAuthenticationTokenException"),
    Fault.UNKNOWN_KEY: ("InvalidClientTokenId", "UnrecognizedClientException"),
    Fault.WRONG_TOKEN: ("InvalidClientTokenId", "UnrecognizedClientException"),
    Fault.SKEWED: _WRONG_SIGNATURE,
    Fault.WRONG: _WRONG_SIGNATURE,
    Fault.TOO_LARGE: ("RequestEntityTooLarge", "RequestEntityTooLargeException"),
}
"""Codes of the protocol `query` and of those that write JSON; the others say that the signature is incomplete.

https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html
"""
_INCOMPLETE: Final = ("IncompleteSignature", "IncompleteSignatureException")


def protocol_of(service: str) -> str:
    """Return the protocol of an answer to a request that is not read further.

    Args:
        service: Name of the service as requests to it are signed.
    """
    return _PROTOCOLS.get(service, "json")


def access_denied(service: str, protocol: str, message: str) -> Response:
    """Return the answer to a caller that may not.

    Args:
        service: Name of the service as requests to it are signed.
        protocol: `json`, `query`, `rest-json` or `rest-xml`.
        message: Who may not do what, and why.
    """
    usual = "AccessDenied" if protocol in ("query", "rest-xml") else "AccessDeniedException"
    return _error(protocol, _CODES.get(service, usual), message)


def refused_signature(error: SignatureRefusedError) -> Response:
    """Return the answer to a request that is not signed as it must be."""
    protocol = protocol_of(error.service)
    if protocol == "rest-xml":
        status, code = _S3_FAULTS[error.fault]
        return _error(protocol, code, str(error), status=status)
    codes = _FAULTS.get(error.fault, _INCOMPLETE)
    return _error(protocol, codes[0] if protocol == "query" else codes[1], str(error))


def _error(protocol: str, code: str, message: str, *, status: int = 403) -> Response:
    request_id = str(uuid.uuid4())
    headers = {"x-amzn-RequestId": request_id}
    if protocol == "rest-xml":
        text = (
            f"<Error><Code>{code}</Code><Message>{escape(message)}</Message><RequestId>{request_id}</RequestId></Error>"
        )
        return Response(
            f'<?xml version="1.0" encoding="UTF-8"?>\n{text}', status, headers, content_type="application/xml"
        )
    if protocol == "query":
        error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
        text = f"<ErrorResponse>{error}<RequestId>{request_id}</RequestId></ErrorResponse>"
        return Response(text, 403, headers, content_type="text/xml")
    # Newer services write `message`, older ones `Message`; clients read either.
    body = json.dumps({"__type": code, "message": message, "Message": message})
    status = status if protocol == "rest-json" else 400
    return Response(body, status, {**headers, "x-amzn-ErrorType": code}, content_type="application/x-amz-json-1.0")
