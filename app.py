"""The CDK app: `cdk deploy -c env=dev|staging|prod --all`; `python app.py` alone writes dev to cdk.out, offline."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from stacks.node import use_supported_node

use_supported_node()  # before aws_cdk, whose import starts Node

import aws_cdk as cdk  # noqa: E402
from cdk_nag import AwsSolutionsChecks  # noqa: E402

from stacks.api_stack import ApiStack  # noqa: E402
from stacks.monitoring_stack import MonitoringStack  # noqa: E402
from stacks.pipeline_stack import PipelineStack  # noqa: E402
from stacks.quotas import QuotaError, check_policies  # noqa: E402
from stacks.settings import PREFIX, Settings, SettingsError, check_region, read_context  # noqa: E402
from stacks.storage_stack import StorageStack  # noqa: E402
from stacks.wheels import PinError  # noqa: E402


def build_app(
    env: str | None = None, outdir: Path | None = None, overrides: Mapping[str, object] = MappingProxyType({})
) -> cdk.App:
    """Build the stacks; `synth()` of what comes back checks them with cdk-nag and writes the assembly.

    Args:
        env: Environment; without one `-c env=…` decides, and without that either it is dev.
        outdir: Where the assembly goes; without one the CDK CLI decides, and without that either it is cdk.out.
        overrides: Setting -> value, as `-c name=value` gives it.

    Raises:
        SettingsError: The environment or one of its settings is wrong, or the region is not a commercial one.
    """
    check_region(os.environ.get("CDK_DEFAULT_REGION"))  # the CDK CLI sets it, to where it would deploy
    app = cdk.App(
        outdir=str(outdir or os.environ.get("CDK_OUTDIR", "cdk.out")),
        # Without the CLI nobody else reads cdk.json. What the CLI gives comes later and wins.
        context=read_context(),
        post_cli_context={**overrides, **({} if env is None else {"env": env})},
        analytics_reporting=False,
    )
    settings = Settings.read(
        app.node.get_context("environments"),
        app.node.try_get_context("env") or "dev",
        overrides={name: app.node.try_get_context(name) for name in Settings.names()},
    )
    storage = StorageStack(app, f"MusicKpi-{settings.environment}-Storage", settings=settings)
    pipeline = PipelineStack(app, f"MusicKpi-{settings.environment}-Pipeline", storage=storage, settings=settings)
    api = ApiStack(app, f"MusicKpi-{settings.environment}-Api", storage=storage, settings=settings)
    MonitoringStack(
        app,
        f"MusicKpi-{settings.environment}-Monitoring",
        storage=storage,
        pipeline=pipeline,
        api=api,
        settings=settings,
    )
    cdk.Tags.of(app).add("project", PREFIX)
    cdk.Tags.of(app).add("environment", settings.environment)
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    return app


if __name__ == "__main__":
    try:
        for stack in build_app().synth().stacks:
            check_policies(stack.template)
    except (SettingsError, PinError, QuotaError) as error:
        sys.exit(f"error: {error}")
