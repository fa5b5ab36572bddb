"""Which operation of which service an HTTP request asks for, by botocore's models."""

from __future__ import annotations

import gzip
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import UnknownServiceError
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request, determine_request_protocol
from moto.core.routing import get_service_router
from moto.core.utils import get_service_model
from werkzeug.exceptions import NotFound

from local_aws.iam.signatures import Signature
from local_aws.patching import MotoObject

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_MODELS: Final[Mapping[str, str]] = {
    "states": "stepfunctions",
    "monitoring": "cloudwatch",
}
"""Name with which a service's requests are signed to its name in botocore, where they differ."""

_NAMES_OF_OBJECTS: Final = "DeleteObjects"
"""The one operation on objects that says in its body, and not in its address or headers, what it is about."""


class UnknownOperationError(Exception):
    """The request fits no operation of the service."""


@dataclass(frozen=True)
class Call:
    """A call of an operation.

    Attributes:
        service: Name of the service as requests to it are signed, such as `states`.
        operation: Name of the operation, such as `StartExecution`.
        parameters: Its parameters by the names of the API; of S3 without the body.
        region: The region.
        protocol: How an answer is written: `json`, `query`, `rest-json` or `rest-xml`.
    """

    service: str
    operation: str
    parameters: Mapping[str, Any]
    region: str
    protocol: str


def call_of(environ: WSGIEnvironment, signature: Signature) -> Call:
    """Return the call that a request is. Its body can be read once more.

    Raises:
        UnknownOperationError: It fits no operation of the service.
    """
    model_name = _MODELS.get(signature.service, signature.service)
    try:
        model = get_service_model(model_name)
    except UnknownServiceError as error:
        raise UnknownOperationError(f"there is no service {signature.service}") from error
    if signature.service != "s3":
        _keep_body(environ)
    request = Request(environ, populate_request=False)
    protocol = determine_request_protocol(model, request.content_type)
    try:
        operation, path = get_service_router(model_name).match(request)
    except NotFound as error:
        raise UnknownOperationError(
            f"{request.method} {request.path} ({request.headers.get('X-Amz-Target', 'no target')}) is no operation of "
            f"{signature.service}"
        ) from error
    if signature.service == "s3" and operation.name != _NAMES_OF_OBJECTS:
        parameters = _without_body(operation, request, path)
    else:
        _keep_body(environ)
        parameters = _parsed(operation, protocol, Request(environ, populate_request=False), path)
        _keep_body(environ)
    return Call(signature.service, operation.name, parameters, signature.region, protocol)


def _keep_body(environ: WSGIEnvironment) -> None:
    """Read the body into memory, where moto would keep it anyway, and go to its beginning: it is read several times."""
    is_packed = environ.get("HTTP_CONTENT_ENCODING") == "gzip"  # boto3 packs the metrics of many files
    if isinstance(environ["wsgi.input"], io.BytesIO) and not is_packed:
        environ["wsgi.input"].seek(0)
        return
    body = Request(environ, populate_request=False).get_data(cache=False)
    if is_packed:
        body = gzip.decompress(body)
        del environ["HTTP_CONTENT_ENCODING"]
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    environ.pop("HTTP_TRANSFER_ENCODING", None)


def _parsed(operation: MotoObject, protocol: str, request: Request, path: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters: dict[str, Any] = PROTOCOL_PARSERS[protocol](operation).parse(
        {
            "method": request.method,
            "headers": request.headers,
            "body": request.get_data(parse_form_data=protocol == "query"),
            "values": request.values,
            "url_params": dict(path),
            "url_path": request.path,
        }
    )
    return parameters


def _without_body(operation: MotoObject, request: Request, path: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters in the address and the headers of a request to S3, as texts."""
    parameters: dict[str, Any] = {}
    places: Mapping[str, Any] = {"uri": path, "querystring": request.args, "header": request.headers}
    for name, shape in operation.input_shape.members.items() if operation.input_shape else ():
        location = shape.serialization.get("location")
        value = places.get(location, {}).get(shape.serialization.get("name", name))
        if value is not None:
            parameters[name] = value
    return parameters
