"""Lambda functions and who may invoke them."""

from __future__ import annotations

import io
import logging
import zipfile
from collections.abc import Mapping
from typing import Any, Final

from local_aws.lambda_functions import RUNTIME, RUNTIMES
from local_aws.resources.base import Created, Creator, Properties, Target

_LOG: Final = logging.getLogger(__name__)


def create_function(target: Target, properties: Properties) -> Created:
    """Create a function; `local_aws.lambda_functions` runs it."""
    name = properties.optional("FunctionName") or properties.generated_name(max_length=64)
    runtime = properties.required("Runtime")
    if runtime not in RUNTIMES:
        known = ", ".join(RUNTIMES)
        raise properties.unsupported("Runtime", reason=f"functions run on {RUNTIME}; they may name one of {known}")
    if runtime != RUNTIME:
        _LOG.warning("function %s names %s and runs on the Python of the embedded AWS, %s", name, runtime, RUNTIME)
    if properties.optional("Layers"):
        raise properties.unsupported("Layers", reason="put what the function imports into its zip")
    if properties.optional("PackageType", "Zip") != "Zip":
        raise properties.unsupported("PackageType", reason="containers cannot be run")
    arn = target.client("lambda").create_function(
        FunctionName=name,
        Code=_code(properties),
        Runtime=runtime,
        Handler=properties.required("Handler"),
        Role=properties.required("Role"),
        Tags={tag["Key"]: tag["Value"] for tag in properties.tags()},
        **properties.present(
            "Architectures", "Description", "Environment", "EphemeralStorage", "MemorySize", "Timeout", "TracingConfig"
        ),
    )["FunctionArn"]
    properties.ignore("LoggingConfig", reason="what a function writes is in logs/lambda/<function>/")
    properties.ignore("ReservedConcurrentExecutions", reason="the emulation has a limit of its own")
    properties.ignore("RecursiveLoop", "RuntimeManagementConfig", reason="they change no behaviour here")
    return Created(ref=name, attributes={"Arn": arn})


def create_permission(target: Target, properties: Properties) -> Created:
    """Add a permission to a function's policy."""
    statement_id = properties.generated_name(max_length=100)
    target.client("lambda").add_permission(
        FunctionName=properties.required("FunctionName"),
        StatementId=statement_id,
        Action=properties.required("Action"),
        Principal=properties.required("Principal"),
        **properties.present("SourceAccount", "SourceArn", "PrincipalOrgID"),
    )
    return Created(ref=statement_id, attributes={"Id": statement_id})


def _code(properties: Properties) -> dict[str, Any]:
    code = properties.required("Code")
    if "ZipFile" in code:  # a source text, which CloudFormation packs as index.py
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("index.py", code["ZipFile"])
        return {"ZipFile": buffer.getvalue()}
    if unknown := set(code) - {"S3Bucket", "S3Key", "S3ObjectVersion"}:
        raise properties.unsupported("Code", reason=f"{', '.join(sorted(unknown))} is not emulated")
    return dict(code)


CREATORS: Final[Mapping[str, Creator]] = {
    "AWS::Lambda::Function": create_function,
    "AWS::Lambda::Permission": create_permission,
}
