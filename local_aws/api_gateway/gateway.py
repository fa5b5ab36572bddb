"""Answers the requests of one REST API, as API Gateway does it.

What is as there: routes with `{name}`, `{name+}` and `ANY`, the resource policy's addresses, signatures, API keys of
usage plans, the event and the answer of the proxy integration, its timeout, and the errors of the gateway itself.

What is not: nothing is throttled, counted, cached, compressed, traced or written to an access log; header names come in
one spelling; gateway responses of one's own add headers to all 4xx or all 5xx, and no more; there are no stage
variables.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from moto.awslambda.exceptions import LambdaClientError

from local_aws import lambda_functions
from local_aws.api_gateway.access import ApiKey, find_key
from local_aws.api_gateway.proxy import Answer, ClientRequest, MalformedAnswerError, answer_of, event_of
from local_aws.api_gateway.rest_api import RestApi, Route
from local_aws.iam import enforcement
from local_aws.iam.enforcement import Enforcement
from local_aws.iam.signatures import Fault, SignatureRefusedError, SignedRequest

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_LOG: Final = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 10 * 1024 * 1024
"""https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html"""


_INCOMPLETE: Final = "IncompleteSignatureException"
_SIGNATURE_ERRORS: Final[Mapping[Fault, str]] = {
    Fault.SKEWED: "InvalidSignatureException",
    Fault.UNKNOWN_KEY: "UnrecognizedClientException",
    Fault.WRONG: "InvalidSignatureException",
    Fault.WRONG_TOKEN: "UnrecognizedClientException",
}


class GatewayError(Exception):
    """What the gateway itself answers.

    Args:
        status: HTTP status.
        error_type: Header `x-amzn-ErrorType`.
        message: The text of the body.
        member: Name of the body's one member, whose spelling API Gateway varies.
    """

    def __init__(self, status: HTTPStatus, error_type: str, message: str, member: str = "message") -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type
        self.member = member

    def answer(self) -> Answer:
        """As the client gets it."""
        headers = (("Content-Type", "application/json"), ("x-amzn-ErrorType", self.error_type))
        return Answer(self.status, headers, json.dumps({self.member: str(self)}, separators=(",", ":")).encode())


class Gateway:
    """A WSGI application that answers for one REST API.

    Args:
        api: The API.
        account: Account id.
        region: Region.
        iam: Verifies signatures.
        workers: Threads in which functions are waited for.
    """

    def __init__(
        self, api: RestApi, *, account: str, region: str, iam: Enforcement, workers: ThreadPoolExecutor
    ) -> None:
        self.api: Final = api
        self._iam = iam
        self._account = account
        self._region = region
        self._workers = workers

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request of werkzeug's server, which keeps the path as the client has encoded it."""
        request = _request_of(environ)
        try:
            answer = self.answer(request)
        except GatewayError as error:
            answer = error.answer()
            if request.stage in self.api.stages:
                of_api = self.api.headers_of_error(answer.status)
                answer = replace(answer, headers=(*answer.headers, *of_api.items()))
        status = HTTPStatus(answer.status)
        headers = [*answer.headers, ("x-amzn-RequestId", request.id), ("Content-Length", str(len(answer.body)))]
        start_response(f"{status.value} {status.phrase}", headers)
        return [] if request.method == "HEAD" else [answer.body]

    def answer(self, request: ClientRequest) -> Answer:
        """Let a request in, and let its function answer.

        Raises:
            GatewayError: It is not let in, nothing answers it, or its function fails.
        """
        if request.stage not in self.api.stages:
            raise _forbidden()
        route = self.api.route(request.method, request.raw_path)
        if route is None:
            raise _missing_authentication_token()
        if len(request.body) > MAX_BODY_BYTES:
            raise GatewayError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "RequestTooLargeException", "Request Too Long")
        self._check_address(request, route)
        signer = self._signer(request, route)
        key = self._key(request, route)
        event = event_of(request, route, self.api, account=self._account, key=key, signer=signer)
        payload = self._invoke(route, json.dumps(event), source_arn=self._arn(request))
        try:
            return answer_of(payload, request, self.api)
        except MalformedAnswerError as error:
            _LOG.warning("%s %s: malformed answer: %s", request.method, route.resource.path, error)
            raise _internal_server_error() from error

    def _check_address(self, request: ClientRequest, route: Route) -> None:
        arn = self._arn(request)
        policy = self.api.policy
        if policy is None or policy.lets_in(arn, request.address, signed=route.method.needs_signature):
            return
        text = f"User: anonymous is not authorized to perform: execute-api:Invoke on resource: {arn}"
        raise GatewayError(HTTPStatus.FORBIDDEN, "AccessDeniedException", text, member="Message")

    def _arn(self, request: ClientRequest) -> str:
        resource = f"{self.api.id}/{request.stage}/{request.method}{unquote(request.raw_path)}"
        return f"arn:aws:execute-api:{self._region}:{self._account}:{resource}"

    def _signer(self, request: ClientRequest, route: Route) -> str | None:
        """Return the access key that has signed the request; None if the method needs no signature."""
        if not route.method.needs_signature:
            return None
        headers = {name.lower(): ",".join(values) for name, values in request.headers.items()}
        signed = SignedRequest(request.method, request.whole_path, request.query, headers)
        try:
            return self._iam.invoker(signed, request.body, self._arn(request))
        except SignatureRefusedError as error:
            if error.fault is Fault.MISSING:
                raise _missing_authentication_token() from error
            raise GatewayError(
                HTTPStatus.FORBIDDEN, _SIGNATURE_ERRORS.get(error.fault, _INCOMPLETE), str(error)
            ) from error
        except enforcement.AccessDeniedError as error:
            raise GatewayError(HTTPStatus.FORBIDDEN, "AccessDeniedException", str(error), member="Message") from error

    def _key(self, request: ClientRequest, route: Route) -> ApiKey | None:
        if not route.method.needs_key:
            return None
        value = request.header("X-Api-Key")
        key = find_key(value, account=self._account, region=self._region, api_id=self.api.id, stage=request.stage)
        if key is None:
            raise _forbidden()
        return key

    def _invoke(self, route: Route, event: str, *, source_arn: str) -> str:
        """Invoke the function; a failure of it is the gateway's 502, and its own timeout, too."""
        try:
            enforcement.require_service(
                "apigateway.amazonaws.com", "lambda:InvokeFunction", route.method.function_arn, source_arn=source_arn
            )
            function = lambda_functions.find_function(route.method.function_arn)
            working = self._workers.submit(lambda_functions.active().invoke, function, event)
            invocation = working.result(route.method.timeout_seconds)
        except TimeoutError as error:
            text = "Endpoint request timed out"
            raise GatewayError(HTTPStatus.GATEWAY_TIMEOUT, "InternalServerErrorException", text) from error
        except (LambdaClientError, enforcement.AccessDeniedError) as error:
            _LOG.warning("%s: function not invoked: %s", route.resource.path, error)
            text = "Internal server error"
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            raise GatewayError(status, "InternalServerErrorException", text) from error
        if invocation.failed:
            _LOG.warning("%s: function failed: %s", route.resource.path, invocation.payload)
            raise _internal_server_error()
        return invocation.payload


def _forbidden() -> GatewayError:
    return GatewayError(HTTPStatus.FORBIDDEN, "ForbiddenException", "Forbidden")


def _missing_authentication_token() -> GatewayError:
    """What API Gateway also says where there is no such method or resource."""
    text = "Missing Authentication Token"
    return GatewayError(HTTPStatus.FORBIDDEN, "MissingAuthenticationTokenException", text)


def _internal_server_error() -> GatewayError:
    return GatewayError(HTTPStatus.BAD_GATEWAY, "InternalServerErrorException", "Internal server error")


def _request_of(environ: Mapping[str, Any]) -> ClientRequest:
    target: str = environ["REQUEST_URI"]
    path, _, query = target.partition("?")
    stage, slash, rest = path.removeprefix("/").partition("/")
    host = environ.get("HTTP_HOST", "")
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").title(): [value]
        for name, value in environ.items()
        if name.startswith("HTTP_") or (name in ("CONTENT_TYPE", "CONTENT_LENGTH") and value)
    }
    headers |= {
        "X-Forwarded-For": [environ["REMOTE_ADDR"]],
        "X-Forwarded-Port": [host.rpartition(":")[2]],
        "X-Forwarded-Proto": ["http"],
    }
    length = min(int(environ.get("CONTENT_LENGTH") or 0), MAX_BODY_BYTES + 1)
    return ClientRequest(
        method=environ["REQUEST_METHOD"],
        stage=stage,
        raw_path=slash + rest or "/",
        whole_path=path,
        query=query,
        headers=headers,
        body=environ["wsgi.input"].read(length) if length else b"",
        address=environ["REMOTE_ADDR"],
        protocol=environ["SERVER_PROTOCOL"],
    )
