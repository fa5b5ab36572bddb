"""One function per CloudFormation resource type, grouped by service, and the types that need no emulation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from local_aws.intrinsics import DeploymentError
from local_aws.resources import (
    api_gateway,
    dynamodb,
    events,
    glue,
    lambda_functions,
    messaging,
    observability,
    s3,
    security,
    step_functions,
)
from local_aws.resources.base import Created, Creator, Properties, Target

CREATORS: Final[Mapping[str, Creator]] = {
    **api_gateway.CREATORS,
    **dynamodb.CREATORS,
    **events.CREATORS,
    **glue.CREATORS,
    **lambda_functions.CREATORS,
    **messaging.CREATORS,
    **observability.CREATORS,
    **s3.CREATORS,
    **security.CREATORS,
    **step_functions.CREATORS,
}

NOT_EMULATED: Final[Mapping[str, str]] = {
    "AWS::CDK::Metadata": "tells AWS which construct library made the template",
    "AWS::CloudFormation::WaitConditionHandle": "a placeholder that does nothing",
    "AWS::CloudWatch::CompositeAlarm": "moto has no such alarm, and no alarm is evaluated on the laptop",
    "AWS::Events::EventBusPolicy": "events come from this account only",
    "AWS::Logs::MetricFilter": "no metric is made of logs on the laptop",
    "AWS::Logs::QueryDefinition": "a saved query of the console",
    "AWS::XRay::Group": "no traces are kept on the laptop",
    "AWS::XRay::SamplingRule": "no traces are kept on the laptop",
}
"""Resource types that are passed over, with the reason. `Ref` to one of them yields its logical id."""


class UnknownResourceTypeError(DeploymentError):
    """The template holds a resource type that is neither emulated nor on the list of those that need no emulation."""


def create(target: Target, properties: Properties, resource_type: str) -> Created:
    """Create one resource.

    Raises:
        UnknownResourceTypeError: Nothing is known about the type.
        DeploymentError: A property cannot be emulated, or the service refused the request.
    """
    creator = CREATORS.get(resource_type)
    if creator is None:
        raise UnknownResourceTypeError(
            f"{properties}: local_aws does not know this resource type. Add a function for it in local_aws/resources, "
            "or put it on NOT_EMULATED with the reason."
        )
    try:
        created = creator(target, properties)
    except (ClientError, BotoCoreError) as error:
        raise DeploymentError(f"{properties} could not be created: {error}") from error
    properties.check_all_read()
    return created
