"""A Glue Spark job, and the code that both jobs share."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_assets as s3_assets
from constructs import Construct

from glue_scripts import names
from stacks.constructs.log_groups import log_group
from stacks.constructs.permissions import PUT_METRICS_BECAUSE, acknowledge, allow
from stacks.packaging import build_zip
from stacks.settings import Settings
from stacks.wheels import INSTALLER_OPTION, archive_name, wheels_of

_ROOT: Final = Path(__file__).parents[2]
_SCRIPTS: Final = _ROOT / "glue_scripts"


class RuntimeCode(Construct):
    """What jobs import: our packages as one zip, and for each job other people's as another, made of their wheels.

    The CDK CLI runs `stacks.wheels` when it uploads the wheels, and only if their bucket does not have them yet. So
    `cdk synth` needs no wheels, its templates depend on the pins alone, and `cdk deploy` stops where wheels are
    missing. An `s3_assets.Asset` would not do: it ends a zip's name in `.zip` and not as Glue needs it.
    """

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)
        with tempfile.TemporaryDirectory() as folder:
            zip_file = Path(folder) / "packages.zip"
            build_zip([_SCRIPTS, _ROOT / "validators"], zip_file)
            self.packages = s3_assets.Asset(self, "Packages", path=str(zip_file))
        self.packages_object = self.packages.bucket.arn_for_objects(self.packages.s3_object_key)

    def add_wheels(self, job: str) -> cdk.FileAssetLocation:
        """Ship the wheels of a job, one of `stacks.wheels.PACKAGES`."""
        location: cdk.FileAssetLocation = cdk.Stack.of(self).synthesizer.add_file_asset(
            source_hash=archive_name(wheels_of(job)),
            executable=[".venv/bin/python", "-m", "stacks.wheels", job],
            display_name=f"Wheels of {job}",
        )
        return location


class GlueSparkJob(Construct):
    """A PySpark job with its own role, script, log groups, timeout and queue of runs.

    Args:
        scope: Parent construct.
        construct_id: Construct id.
        name: Name of the job, without that of the environment: one of `stacks.wheels.PACKAGES`.
        script: File name in glue_scripts/.
        runtime: What the script imports. Each run installs the wheels before it begins.
        arguments: Default arguments of a run beside `environment` and `dpus`, without the leading `--`.
        max_concurrent_runs: Runs at a time; more wait in the job's queue.
        settings: Settings of the environment.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        script: str,
        runtime: RuntimeCode,
        arguments: Mapping[str, str],
        max_concurrent_runs: int,
        settings: Settings,
    ) -> None:
        super().__init__(scope, construct_id)
        script_asset = s3_assets.Asset(self, "Script", path=str(_SCRIPTS / script))
        job_name = settings.name(name)
        log_prefix = f"/aws-glue/jobs/{job_name}"
        for stream in ("output", "error"):
            log_group(self, f"{stream.title()}Logs", name=f"{log_prefix}/{stream}", settings=settings)
        script_object = script_asset.bucket.arn_for_objects(script_asset.s3_object_key)
        wheels = runtime.add_wheels(name)
        wheels_bucket = s3.Bucket.from_bucket_name(self, "WheelsBucket", wheels.bucket_name)
        code = [script_object, runtime.packages_object, wheels_bucket.arn_for_objects(wheels.object_key)]
        self.role = self._role(job_name, code=code)
        self.job = glue.PySparkEtlJob(
            self,
            "Job",
            job_name=job_name,
            # Without updates: for each piece of code the construct would let the job read the whole asset bucket.
            role=self.role.without_policy_updates(),
            script=_code(script_asset),
            extra_python_files=[_code(runtime.packages)],
            glue_version=glue.GlueVersion[f"V{settings.glue_version.replace('.', '_')}"],
            worker_configuration=glue.WorkerConfiguration(
                worker_type=glue.WorkerType[settings.worker_type.replace(".", "_")],
                number_of_workers=settings.number_of_workers,
            ),
            timeout=cdk.Duration.minutes(settings.job_timeout_minutes),
            max_retries=0,  # the state machine retries
            job_run_queuing_enabled=True,
            max_concurrent_runs=max_concurrent_runs,
            # Glue 5 writes its logs as they come in any case; these arguments belong to Glue 4.
            continuous_logging=glue.ContinuousLoggingProps(enabled=False),
            default_arguments={
                "--additional-python-modules": wheels.s3_object_url,
                "--python-modules-installer-option": INSTALLER_OPTION,
                "--custom-logGroup-prefix": log_prefix,
                "--environment": settings.environment,
                "--dpus": str(settings.dpus),
                **{f"--{argument}": value for argument, value in arguments.items()},
            },
        )
        acknowledge(self.job, "AwsSolutions-GL1", "CloudWatch encrypts logs at rest without a key of ours, too.")
        acknowledge(self.job, "AwsSolutions-GL3", "The job uses no bookmarks: what it works on is in its manifest.")

    def grant_run(self, role: iam.IRole) -> None:
        """Let a state machine's role run the job and wait for it (`startJobRun.sync`)."""
        run = ("StartJobRun", "GetJobRun", "GetJobRuns", "BatchStopJobRun")
        allow(role, actions=[f"glue:{action}" for action in run], resources=[self.job.job_arn])

    def _role(self, name: str, *, code: list[str]) -> iam.Role:
        stack = cdk.Stack.of(self)
        # Only if Glue tells for whom it works: it documents that for crawlers and not for jobs, and a run whose role
        # cannot be assumed does not start. Nobody can pass this role in another account.
        principal = iam.ServicePrincipal(
            "glue.amazonaws.com", conditions={"StringEqualsIfExists": {"aws:SourceAccount": stack.account}}
        )
        role = iam.Role(self, "Role", assumed_by=principal, description=f"What the job {name} may do")
        allow(role, actions=["s3:GetObject"], resources=code)
        allow(
            role,
            actions=["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
            resources=[
                stack.format_arn(
                    service="logs",
                    resource="log-group",
                    resource_name="/aws-glue/*",
                    arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
                )
            ],
            wildcard_because="Glue names the log streams after job runs, and some groups itself.",
        )
        allow(
            role,
            actions=["cloudwatch:PutMetricData"],
            resources=["*"],
            conditions={"StringEquals": {"cloudwatch:namespace": ["Glue", names.METRIC_NAMESPACE]}},
            wildcard_because=PUT_METRICS_BECAUSE,
        )
        return role


def _code(asset: s3_assets.Asset) -> glue.Code:
    return glue.Code.from_bucket(asset.bucket, asset.s3_object_key)
