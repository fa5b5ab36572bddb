"""State machines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from local_aws.intrinsics import DeploymentError
from local_aws.resources.base import Created, Creator, Properties, Target, json_text, lower_first

_SUBSTITUTION: Final = re.compile(r"\$\{([A-Za-z0-9_]+)\}")


def create_state_machine(target: Target, properties: Properties) -> Created:
    """Create a state machine from its text, its object or its file in S3, with the substitutions applied."""
    name = properties.optional("StateMachineName") or properties.generated_name(max_length=80)
    definition = substitute(
        _definition(target, properties),
        properties.optional("DefinitionSubstitutions", {}),
        where=str(properties),
    )
    request: dict[str, Any] = {
        "name": name,
        "definition": definition,
        "roleArn": properties.required("RoleArn"),
        "type": properties.optional("StateMachineType", "STANDARD"),
        "tags": lower_first(properties.tags()),
    }
    for option in ("EncryptionConfiguration", "LoggingConfiguration", "TracingConfiguration"):
        if (value := properties.optional(option)) is not None:
            request[option[0].lower() + option[1:]] = lower_first(value)
    arn = target.client("stepfunctions").create_state_machine(**request)["stateMachineArn"]
    return Created(ref=arn, attributes={"Arn": arn, "Name": name})


def substitute(definition: str, substitutions: Mapping[str, Any], *, where: str) -> str:
    """Replace every `${Name}` of a definition.

    Args:
        definition: The state machine as JSON text.
        substitutions: Name to text, number or bool.
        where: The resource, for the error message.

    Raises:
        DeploymentError: The definition holds a placeholder that is not substituted; Step Functions would take it
            literally, and the error would show up only when that state runs.
    """
    missing = sorted(set(_SUBSTITUTION.findall(definition)) - set(substitutions))
    if missing:
        raise DeploymentError(
            f"{where}: DefinitionSubstitutions lacks {', '.join(missing)}, which the definition uses."
        )
    return _SUBSTITUTION.sub(lambda match: json_text(substitutions[match.group(1)]), definition)


def _definition(target: Target, properties: Properties) -> str:
    if (text := properties.optional("DefinitionString")) is not None:
        return str(text)
    if (document := properties.optional("Definition")) is not None:
        return json_text(document)
    location = properties.required("DefinitionS3Location")
    version = {"VersionId": location["Version"]} if "Version" in location else {}
    response = target.client("s3").get_object(Bucket=location["Bucket"], Key=location["Key"], **version)
    return str(response["Body"].read().decode("utf-8"))


CREATORS: Final[Mapping[str, Creator]] = {
    "AWS::StepFunctions::StateMachine": create_state_machine,
}
