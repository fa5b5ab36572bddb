"""The answer to who may not, as each protocol of AWS writes it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Final
from xml.sax.saxutils import escape

from werkzeug.wrappers import Response

# The codes by which services name a refusal, where it is another than their protocol's usual one.
_CODES: Final[Mapping[str, str]] = {"sns": "AuthorizationError", "sqs": "AccessDenied"}
_INVALID_KEY: Final = "The security token included in the request is invalid."


def access_denied(service: str, protocol: str, message: str) -> Response:
    """Return the answer to a caller that may not.

    Args:
        service: Name of the service as requests to it are signed.
        protocol: `json`, `query`, `rest-json` or `rest-xml`.
        message: Who may not do what, and why.
    """
    usual = "AccessDenied" if protocol in ("query", "rest-xml") else "AccessDeniedException"
    return _error(protocol, _CODES.get(service, usual), message)


def unknown_key(service: str, protocol: str, access_key: str) -> Response:
    """Return the answer to a request whose access key nobody has."""
    if service == "s3":
        return _error(
            protocol, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."
        )
    code = "InvalidClientTokenId" if protocol == "query" else "UnrecognizedClientException"
    return _error(protocol, code, f"{_INVALID_KEY} ({access_key}: see the README for the operator's key.)")


def _error(protocol: str, code: str, message: str) -> Response:
    request_id = str(uuid.uuid4())
    headers = {"x-amzn-RequestId": request_id}
    if protocol == "rest-xml":
        text = (
            f"<Error><Code>{code}</Code><Message>{escape(message)}</Message><RequestId>{request_id}</RequestId></Error>"
        )
        return Response(f'<?xml version="1.0" encoding="UTF-8"?>\n{text}', 403, headers, content_type="application/xml")
    if protocol == "query":
        error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
        text = f"<ErrorResponse>{error}<RequestId>{request_id}</RequestId></ErrorResponse>"
        return Response(text, 403, headers, content_type="text/xml")
    # Newer services write `message`, older ones `Message`; clients read either.
    body = json.dumps({"__type": code, "message": message, "Message": message})
    status = 403 if protocol == "rest-json" else 400
    return Response(body, status, {**headers, "x-amzn-ErrorType": code}, content_type="application/x-amz-json-1.0")
