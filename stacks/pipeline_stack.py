"""The stack that works on data: it holds nothing that could be lost."""

from __future__ import annotations

import json

import aws_cdk as cdk
from constructs import Construct

from glue_scripts import names
from glue_scripts.kpi_sql import KPI_CODE
from stacks.constructs.batch_pipe import BatchPipe
from stacks.constructs.failure_notifier import FailureNotifier
from stacks.constructs.glue_spark_job import GlueSparkJob, RuntimeCode
from stacks.constructs.state_machine import StateMachine
from stacks.constructs.upload_queue import UploadQueue
from stacks.settings import MAX_CONCURRENT_VALIDATIONS, Settings
from stacks.storage_stack import StorageStack


class PipelineStack(cdk.Stack):
    """Upload queue, pipe, the two Glue jobs, the state machines and the failure notifier."""

    def __init__(self, scope: Construct, construct_id: str, *, storage: StorageStack, settings: Settings) -> None:
        super().__init__(
            scope,
            construct_id,
            description=f"Music KPI pipeline ({settings.environment}): from uploads to KPIs",
            termination_protection=settings.retain_data,
        )
        self._storage = storage
        self._settings = settings
        runtime = RuntimeCode(self, "RuntimeCode")
        self.validate_batch = self._validate_batch(runtime)
        self.compute_kpis = self._compute_kpis(runtime)
        self.pipeline = self._pipeline()
        self.recompute = self._recompute()
        self.uploads = UploadQueue(self, "Uploads", data_bucket=storage.data_bucket, settings=settings)
        self.batches = BatchPipe(self, "Batches", source=self.uploads, target=self.pipeline, settings=settings)
        self.failures = FailureNotifier(
            self,
            "Failures",
            pipeline=self.pipeline,
            validate_batch=self.validate_batch,
            compute_kpis=self.compute_kpis,
            data_bucket=storage.data_bucket,
            alerts=storage.alerts,
            settings=settings,
        )

        cdk.CfnOutput(self, "StateMachineArn", value=self.pipeline.machine.state_machine_arn)
        cdk.CfnOutput(self, "RecomputeStateMachineArn", value=self.recompute.machine.state_machine_arn)
        cdk.CfnOutput(self, "NotifierStateMachineArn", value=self.failures.notifier.machine.state_machine_arn)
        cdk.CfnOutput(self, "UploadQueueUrl", value=self.uploads.queue.queue_url)
        cdk.CfnOutput(self, "DeadLetterQueueUrl", value=self.uploads.dead_letters.queue_url)
        cdk.CfnOutput(self, "NotifierDeadLetterQueueUrl", value=self.failures.dead_letters.queue_url)
        cdk.CfnOutput(self, "ValidateBatchJobName", value=self.validate_batch.job.job_name)
        cdk.CfnOutput(self, "ComputeKpisJobName", value=self.compute_kpis.job.job_name)

    def _validate_batch(self, runtime: RuntimeCode) -> GlueSparkJob:
        data, ledger = self._storage.data_bucket, self._storage.ledger
        job = GlueSparkJob(
            self,
            "ValidateBatch",
            name=names.VALIDATE_BATCH,
            script="validate_batch.py",
            runtime=runtime,
            arguments={
                "data_bucket": data.bucket.bucket_name,
                "ledger_table": ledger.table.table_name,
                "tolerances": json.dumps(dict(self._settings.tolerances), sort_keys=True, separators=(",", ":")),
                "error_days": str(self._settings.error_days),
                "runbook": self._settings.runbook,
            },
            max_concurrent_runs=MAX_CONCURRENT_VALIDATIONS,
            settings=self._settings,
        )
        # raw/: what is over 5 GB cannot be staged by CopyObject; the job copies it to error/ in parts.
        data.grant_read_version(job.role, names.RAW_PREFIX)
        data.grant_read(job.role, names.PROCESSING_PREFIX, names.REFERENCE_PREFIX)
        data.grant_write(job.role, names.PROCESSING_PREFIX, names.ERROR_PREFIX)
        data.grant_put(job.role, names.QUALITY_PREFIX, names.CURATED_PREFIX, names.REFERENCE_PREFIX)
        ledger.grant_keep_books(job.role)
        return job

    def _compute_kpis(self, runtime: RuntimeCode) -> GlueSparkJob:
        data, ledger, kpis = self._storage.data_bucket, self._storage.ledger, self._storage.kpis
        job = GlueSparkJob(
            self,
            "ComputeKpis",
            name=names.COMPUTE_KPIS,
            script="compute_kpis.py",
            runtime=runtime,
            arguments={
                "data_bucket": data.bucket.bucket_name,
                "ledger_table": ledger.table.table_name,
                "kpis_table": kpis.table.table_name,
                "kpi_code": KPI_CODE,
                "top_songs": str(self._settings.top_songs),
                "top_genres": str(self._settings.top_genres),
            },
            max_concurrent_runs=self._settings.max_concurrent_kpi_runs,
            settings=self._settings,
        )
        data.grant_read(job.role, names.PROCESSING_PREFIX, names.CURATED_PREFIX, names.REFERENCE_PREFIX)
        # Runs of a day that has many are merged.
        data.grant_put(job.role, names.CURATED_PREFIX)
        ledger.grant_keep_books(job.role)
        ledger.grant_list_by_status(job.role)
        kpis.grant_publish(job.role)
        return job

    def _pipeline(self) -> StateMachine:
        data, ledger, alerts = self._storage.data_bucket, self._storage.ledger, self._storage.alerts
        pipeline = StateMachine(
            self,
            "Pipeline",
            name=self._settings.name("pipeline"),
            definition="pipeline.asl.json",
            substitutions={
                "DataBucket": data.bucket.bucket_name,
                "ValidateBatchJob": self.validate_batch.job.job_name,
                "ComputeKpisJob": self.compute_kpis.job.job_name,
                "LedgerTable": ledger.table.table_name,
                "AlertTopicArn": alerts.topic.topic_arn,
                "MaxBatchBytes": str(self._settings.max_batch_bytes),
            },
            settings=self._settings,
        )
        # Without ListBucket, a version that is gone would look like one that the role may not read.
        data.grant_list(pipeline.role, names.RAW_PREFIX)
        data.grant_read_version(pipeline.role, names.RAW_PREFIX)
        data.grant_read(pipeline.role, names.PROCESSING_PREFIX, names.QUALITY_PREFIX)
        data.grant_put(pipeline.role, names.PROCESSING_PREFIX, names.ERROR_PREFIX, names.ARCHIVE_PREFIX)
        data.grant_delete_version(pipeline.role, names.RAW_PREFIX)
        self.validate_batch.grant_run(pipeline.role)
        self.compute_kpis.grant_run(pipeline.role)
        ledger.grant_update(pipeline.role)
        alerts.grant_publish(pipeline.role)
        pipeline.grant_start_itself()
        return pipeline

    def _recompute(self) -> StateMachine:
        data = self._storage.data_bucket
        recompute = StateMachine(
            self,
            "Recompute",
            name=self._settings.name("recompute"),
            definition="recompute.asl.json",
            substitutions={
                "DataBucket": data.bucket.bucket_name,
                "ComputeKpisJob": self.compute_kpis.job.job_name,
            },
            settings=self._settings,
        )
        data.grant_put(recompute.role, names.RECOMPUTE_PREFIX)
        self.compute_kpis.grant_run(recompute.role)
        return recompute
