"""Lets requests of roles and services through only as the deployed policies say.

Every request must be signed (`signatures`), and its access key says who asks: the operator's is an administrator;
those of roles are given out by `assume` to what works with a role (job runs, functions, executions, pipes, targets of
rules). Any other is refused.
What a service does without a request and without a role, such as a rule that puts an event into a queue, asks
`require` with the service as the caller.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from werkzeug.wrappers import Response

from local_aws.iam import answers, policy_store
from local_aws.iam.authorizations import KNOWN_KEYS, UnknownAuthorizationError, list_bucket, requests_of
from local_aws.iam.calls import Call, UnknownOperationError, call_of
from local_aws.iam.conditions import UnsupportedPolicyError
from local_aws.iam.policies import Caller, Decision, Policy, Request, Role, Service, decide
from local_aws.iam.principals import ANYBODY, Credentials, Principals
from local_aws.iam.report import Report
from local_aws.iam.signatures import (
    UNSIGNED_PAYLOADS,
    Fault,
    Signature,
    SignatureRefusedError,
    SignedRequest,
    declared_hash,
    verify,
)
from local_aws.iam.usage import Usage, Use

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_LOG: Final = logging.getLogger(__name__)

_TOPIC: Final = "arn:aws:sns:"
"""moto gives a topic without a policy one of its own, about `aws:SourceOwner`, as AWS does."""
_NOT_OF_AWS: Final = ("/moto-api", "/favicon.ico", "/latest/meta-data/", "/latest/api/")
"""Prefixes of the paths that moto answers without a signature: its dashboard, its settings, and EC2 metadata."""
_READS: Final = frozenset({"GetObject", "HeadObject"})
_API: Final = "execute-api"

MAX_OBJECT_BYTES: Final = 5 * 1024**3
"""Body of a request to S3, https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html."""
MAX_REQUEST_BYTES: Final = 128 * 1024**2
"""Body of a request to another service, which must be in memory before its signature can be verified."""


class AccessDeniedError(Exception):
    """A caller may not do something; the message is AWS's."""


class Enforcement:
    """Evaluates what callers ask for, and counts it.

    Args:
        account: Account id.
        region: Region.

    Attributes:
        operator: Credentials of the administrator, made at random.
        usage: What was asked for so far.
    """

    def __init__(self, account: str, region: str) -> None:
        self._account = account
        self._region = region
        self._principals = Principals()
        self.operator: Final = self._principals.operator
        self.usage = Usage()

    def report(self) -> Report:
        """Return what became of the permissions that are deployed at this moment."""
        return Report.of(policy_store.all_documents(self._account, self._region), self.usage.counts())

    def check_policies(self) -> None:
        """Look at every deployed policy.

        Raises:
            UnsupportedPolicyError: One of them holds something that is not evaluated here.
        """
        for name, document in policy_store.all_documents(self._account, self._region):
            for statement in Policy.read(name, document).statements:
                unknown = {condition.key for condition in statement.conditions} - KNOWN_KEYS
                if unknown and not name.startswith(_TOPIC):
                    raise UnsupportedPolicyError(
                        f"policy {name}: requests here have no condition key {', '.join(sorted(unknown))}"
                    )

    # What works with a role, or as a service

    def assume(self, role_arn: str, *, service: str, source_arn: str, session: str) -> Credentials:
        """Return credentials of a role for a service that works with it.

        Args:
            role_arn: The role.
            service: Such as `glue.amazonaws.com`.
            source_arn: The resource for which the service works.
            session: Name of the session, which is part of the caller's ARN in messages.

        Raises:
            AccessDeniedError: The role's trust policy does not let the service assume it, or there is no such role.
        """
        name, document = self._trust(role_arn)
        request = self._service_request("sts:AssumeRole", role_arn, source_arn)
        self._decide(Service(service), request, of_caller=(), of_resource=(Policy.read(name, document),))
        return self._principals.credentials_of(Role(role_arn, session))

    def require(self, caller: Caller, request: Request) -> None:
        """Let a caller do something, or not.

        Raises:
            AccessDeniedError: The policies of the caller's role and of the resource do not allow it.
        """
        of_caller = policy_store.policies_of_role(caller.arn) if isinstance(caller, Role) else ()
        self._decide(
            caller, request, of_caller=of_caller, of_resource=policy_store.policies_of_resource(request.resource)
        )

    def require_as(self, role: Role, request: Request) -> None:
        """Let a role do something, with the condition keys that all its requests have; or not.

        Raises:
            AccessDeniedError: The policies of the role and of the resource do not allow it.
        """
        of_caller = {"aws:principalarn": (role.arn,), "aws:principalaccount": (role.account,)}
        context = {**request.context, **self._everywhere(), **of_caller}
        self.require(role, Request(request.action, request.resource, context))

    def require_service(self, service: str, action: str, resource: str, *, source_arn: str) -> None:
        """Let a service that works for a resource do something without a role, or not.

        Raises:
            AccessDeniedError: The policy of the resource does not allow it.
        """
        self.require(Service(service), self._service_request(action, resource, source_arn))

    def _service_request(self, action: str, resource: str, source_arn: str) -> Request:
        return Request(
            action,
            resource,
            self._everywhere() | {"aws:sourceaccount": (self._account,), "aws:sourcearn": (source_arn,)},
        )

    def _trust(self, role_arn: str) -> tuple[str, str]:
        try:
            return policy_store.trust_of_role(role_arn)
        except policy_store.UnknownRoleError as error:
            raise AccessDeniedError(str(error)) from error

    def _decide(
        self, caller: Caller, request: Request, *, of_caller: Iterable[Policy], of_resource: Iterable[Policy]
    ) -> None:
        decision = decide(caller, request, of_caller=of_caller, of_resource=of_resource)
        self.usage.count(Use.of(caller, request, decision))
        if not decision.is_allowed:
            message = denial(caller, request, decision)
            _LOG.warning("%s", message)
            raise AccessDeniedError(message)

    def _everywhere(self) -> dict[str, tuple[str, ...]]:
        """The condition keys of every request. The plain HTTP of a loopback address counts as TLS."""
        return {"aws:securetransport": ("true",), "aws:requestedregion": (self._region,), "s3:tlsversion": ("1.3",)}

    # Requests by HTTP

    def application(self, application: WSGIApplication) -> WSGIApplication:
        """Return a WSGI application that stands in front of moto's."""

        def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            answer = self._answer(environ, application)
            return (answer or application)(environ, start_response)

        return guarded

    def _answer(self, environ: WSGIEnvironment, application: WSGIApplication) -> Response | None:
        """What is answered in moto's place; None for moto's own answer."""
        if environ["PATH_INFO"].startswith(_NOT_OF_AWS):
            return Response("This is not an address of AWS.", 404, content_type="text/plain")
        try:
            signature = self._authenticate(environ)
        except SignatureRefusedError as error:
            return answers.refused_signature(error)
        role = self._principals.role_of(signature.access_key)
        return None if role is None else self._answer_role(role, environ, signature, application)

    def _authenticate(self, environ: WSGIEnvironment) -> Signature:
        """Return the signature of a request, verified. Its body can still be read.

        Raises:
            SignatureRefusedError: It is not signed as it must be.
        """
        request = SignedRequest.of(environ)
        signature = Signature.of(request)
        if signature.service == "s3":
            # The body comes last: nobody makes this process read a large one without a signature.
            declared = declared_hash(request, signature)
            self._verify(request, signature, declared)
            if declared not in UNSIGNED_PAYLOADS and _keep_body(environ, MAX_OBJECT_BYTES, "s3") != declared:
                text = "The provided 'x-amz-content-sha256' header does not match what was computed."
                raise SignatureRefusedError(Fault.WRONG_BODY, text)
        else:
            self._verify(request, signature, _keep_body(environ, MAX_REQUEST_BYTES, signature.service))
        environ["HTTP_AUTHORIZATION"] = signature.authorization  # by which moto finds the service
        return signature

    def _verify(self, request: SignedRequest, signature: Signature, payload_hash: str) -> None:
        credentials = self._principals.with_key(signature.access_key)
        if credentials is None:
            text = f"The access key {signature.access_key} is not in our records: source the env.sh of this start."
            raise SignatureRefusedError(Fault.UNKNOWN_KEY, text, signature.service)
        verify(request, signature, credentials, payload_hash=payload_hash, now=datetime.now(tz=UTC))

    def invoker(self, request: SignedRequest, body: bytes, arn: str) -> str:
        """Return the access key that has signed a request to a REST API, whose role may invoke it.

        Args:
            request: The request.
            body: Its body.
            arn: What is invoked: `arn:aws:execute-api:<region>:<account>:<api>/<stage>/<method>/<path>`.

        Raises:
            SignatureRefusedError: It is not signed as it must be.
            AccessDeniedError: The role's policies do not allow it.
        """
        signature = Signature.of(request)
        if (signature.service, signature.region) != (_API, self._region):
            text = f"Credential should be scoped to correct service: '{_API}' in region '{self._region}'."
            raise SignatureRefusedError(Fault.WRONG, text, _API)
        self._verify(request, signature, hashlib.sha256(body).hexdigest())
        role = self._principals.role_of(signature.access_key)
        if role is not None:
            self.require_as(role, Request("execute-api:Invoke", arn))
        return signature.access_key

    def _answer_role(
        self, role: Role, environ: WSGIEnvironment, signature: Signature, application: WSGIApplication
    ) -> Response | None:
        try:
            call = call_of(environ, signature)
            requests = requests_of(call, self._account, objects=policy_store)
        except (UnknownOperationError, UnknownAuthorizationError) as error:
            _LOG.error("%s: %s", role, error)
            return answers.access_denied(signature.service, answers.protocol_of(signature.service), str(error))
        try:
            for request in requests:
                self.require_as(role, request)
        except AccessDeniedError as error:
            return answers.access_denied(call.service, call.protocol, str(error))
        if call.service == "s3" and call.operation in _READS:
            return self._hide_missing(role, call, Response.from_app(application, environ, buffered=True))
        return None

    def _hide_missing(self, role: Role, call: Call, answer: Response) -> Response:
        """Answer 403 and not 404 to a role that may not list the bucket."""
        if answer.status_code == 404:
            try:
                self.require_as(role, list_bucket(call.parameters["Bucket"]))
            except AccessDeniedError as error:
                return answers.access_denied("s3", call.protocol, str(error))
        return answer


def _keep_body(environ: WSGIEnvironment, limit: int, service: str) -> str:
    """Read the body into memory, where moto would keep it anyway, and return its SHA-256.

    Raises:
        SignatureRefusedError: It is too large, or its length is not given.
    """
    length = environ.get("CONTENT_LENGTH") or "0"
    if environ.get("wsgi.input_terminated") or not length.isdecimal() or int(length) > limit:
        text = f"The body must have a Content-Length of at most {limit} bytes."
        raise SignatureRefusedError(Fault.TOO_LARGE, text, service)
    body = environ["wsgi.input"].read(int(length))
    # Shares the bytes, and so does a reader that takes all of them at once: werkzeug would copy 64 KiB at a time.
    environ["wsgi.input"] = io.BytesIO(body)
    environ["wsgi.input_terminated"] = True
    return hashlib.sha256(body).hexdigest()


def denial(caller: Caller, request: Request, decision: Decision) -> str:
    """Return what AWS says to who may not.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
    """
    on_resource = "" if request.resource == "*" else f" on resource: {request.resource}"
    reason = decision.reason.format(action=request.action)
    if isinstance(caller, Service):
        reason = reason.replace("identity-based", "resource-based")
    return f"User: {caller} is not authorized to perform: {request.action}{on_resource} {reason}"


_active: Enforcement | None = None


def install(enforcement: Enforcement) -> None:
    """Let what works with roles in this process ask `enforcement`."""
    global _active
    _active = enforcement


def uninstall() -> None:
    """Let everything through again."""
    global _active
    _active = None


def active() -> Enforcement | None:
    """Return what is asked in this process; None if everything is let through."""
    return _active


def operator() -> Credentials:
    """Return the credentials of the operator; anybody's where everything is let through."""
    return ANYBODY if _active is None else _active.operator


def assume(role_arn: str, *, service: str, source_arn: str, session: str) -> Credentials:
    """Return `Enforcement.assume` of the active one; anybody's credentials where everything is let through.

    Raises:
        AccessDeniedError: The service may not assume the role.
    """
    if _active is None:
        return ANYBODY
    return _active.assume(role_arn, service=service, source_arn=source_arn, session=session)


def require_role(role_arn: str, action: str, resource: str, *, service: str, source_arn: str) -> None:
    """Let a service that works with a role do something within this process.

    Raises:
        AccessDeniedError: The service may not assume the role, or the role may not do that.
    """
    if _active is not None:
        session = source_arn.rpartition("/")[2]
        _active.assume(role_arn, service=service, source_arn=source_arn, session=session)
        _active.require_as(Role(role_arn, session), Request(action, resource))


def require_of_role(role: Role, request: Request) -> None:
    """Ask `Enforcement.require_as` of the active one.

    Raises:
        AccessDeniedError: The policies of the role and of the resource do not allow it.
    """
    if _active is not None:
        _active.require_as(role, request)


def require_service(service: str, action: str, resource: str, *, source_arn: str) -> None:
    """Ask `Enforcement.require_service` of the active one.

    Raises:
        AccessDeniedError: The policy of the resource does not allow it.
    """
    if _active is not None:
        _active.require_service(service, action, resource, source_arn=source_arn)
