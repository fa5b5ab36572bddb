"""What every resource type needs to be created: clients, the template's properties, and the outcome."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import boto3
from botocore.config import Config

from local_aws.iam.principals import Credentials
from local_aws.intrinsics import DeploymentError, Json

_GENERATED_SUFFIX_LENGTH: Final = 12

Client: TypeAlias = Any
"""A boto3 client; its methods depend on the service, which is a variable here."""


class UnknownPropertyError(DeploymentError):
    """A resource carries a property that its emulation neither uses nor deliberately leaves out."""


@dataclass(frozen=True)
class Target:
    """Where resources are created.

    Attributes:
        endpoint_url: The embedded AWS.
        account: Account id, 12 digits.
        region: Region name.
        credentials: As whom they are created.
        partition: Partition of every ARN.
    """

    endpoint_url: str
    account: str
    region: str
    credentials: Credentials = field(repr=False)
    partition: str = "aws"
    _clients: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def client(self, service: str) -> Client:
        """Return the boto3 client of a service, made once."""
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,  # type: ignore[call-overload]  # the service is a variable
                endpoint_url=self.endpoint_url,
                region_name=self.region,
                **self.credentials.for_boto3(),
                config=Config(
                    retries={"total_max_attempts": 1},
                    proxies={},
                    # In this region boto3 would presign with version 2.
                    signature_version="s3v4" if service == "s3" else None,
                ),
            )
        return self._clients[service]

    def object_url(self, bucket: str, key: str) -> str:
        """Return a presigned URL: a browser, which signs nothing, can read the object by it for an hour.

        Only what is a page by the name of its key is shown as one; the type that its uploader has given does not
        matter.
        """
        shown_as = {"ResponseContentType": "text/html; charset=utf-8"} if key.endswith(".html") else {}
        parameters = {"Bucket": bucket, "Key": key, **shown_as}
        url: str = self.client("s3").generate_presigned_url("get_object", Params=parameters)
        return url

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a regional resource, given its last part."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"


@dataclass(frozen=True)
class Created:
    """A created resource as the template sees it.

    Attributes:
        ref: What `Ref` yields.
        attributes: What `Fn::GetAtt` yields, by attribute name.
    """

    ref: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


class Properties:
    """The resolved properties of one resource; remembers which of them were read.

    Args:
        stack_name: Stack of the resource.
        logical_id: Logical id of the resource.
        resource_type: Such as `AWS::SQS::Queue`.
        values: The resolved properties.
    """

    def __init__(self, stack_name: str, logical_id: str, resource_type: str, values: Mapping[str, Json]) -> None:
        self._stack_name = stack_name
        self._logical_id = logical_id
        self._type = resource_type
        self._values = values
        self._read: set[str] = set()

    def required(self, name: str) -> Json:
        """Return a property that the resource cannot be without.

        Raises:
            DeploymentError: The template does not give it.
        """
        if name not in self._values:
            raise DeploymentError(f"{self} has no property {name}, without which it cannot be created.")
        self._read.add(name)
        return self._values[name]

    def optional(self, name: str, default: Json = None) -> Json:
        """Return a property, or the default if the template does not give it."""
        self._read.add(name)
        return self._values.get(name, default)

    def present(self, *names: str) -> dict[str, Any]:
        """Return those of the named properties that the template gives."""
        self._read.update(names)
        return {name: self._values[name] for name in names if name in self._values}

    def ignore(self, *names: str, reason: str) -> None:
        """Leave properties out of the emulation; the reason is for whoever reads the code."""
        del reason
        self._read.update(names)

    def unsupported(self, name: str, *, reason: str) -> DeploymentError:
        """Return the error for a value that cannot be emulated."""
        return UnknownPropertyError(f"{self}: {name} = {self._values.get(name)!r} cannot be emulated: {reason}.")

    def generated_name(self, *, max_length: int) -> str:
        """Return the name of a resource to which the template gives none: the same at every deployment."""
        digest = hashlib.sha256(f"{self._stack_name}/{self._logical_id}".encode()).hexdigest()
        suffix = "-" + digest[:_GENERATED_SUFFIX_LENGTH].upper()
        return f"{self._stack_name}-{self._logical_id}"[: max_length - len(suffix)] + suffix

    def tags(self) -> list[dict[str, str]]:
        """Return `Tags`, a list of `{"Key", "Value"}`."""
        tags: list[dict[str, str]] = self.optional("Tags", [])
        return tags

    def check_all_read(self) -> None:
        """Refuse a property that nobody asked for.

        Raises:
            UnknownPropertyError: There is one.
        """
        unread = sorted(set(self._values) - self._read)
        if unread:
            raise UnknownPropertyError(
                f"{self} has properties that local_aws/resources neither emulates nor deliberately ignores: "
                f"{', '.join(unread)}."
            )

    def __str__(self) -> str:
        return f"{self._stack_name}/{self._logical_id} ({self._type})"


Creator = Callable[[Target, Properties], Created]
"""Creates one resource of a type by calling the API of its service."""


def json_text(document: Json) -> str:
    """Return a document that a template may give as an object or as JSON text, as JSON text."""
    return document if isinstance(document, str) else json.dumps(document)


def lower_first(value: Json) -> Json:
    """Return a value whose keys begin with a lower-case letter, as the APIs of Step Functions and logs want them."""
    if isinstance(value, dict):
        return {key[:1].lower() + key[1:]: lower_first(item) for key, item in value.items()}
    if isinstance(value, list):
        return [lower_first(item) for item in value]
    return value
