-- CreateSchema
CREATE SCHEMA IF NOT EXISTS "public";

-- CreateTable
CREATE TABLE "instance" (
    "id" INTEGER NOT NULL DEFAULT 1,
    "epoch" INTEGER NOT NULL DEFAULT 1,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "instance_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "secrets" (
    "name" TEXT NOT NULL,
    "sealed" BYTEA NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "secrets_pkey" PRIMARY KEY ("name")
);

-- CreateTable
CREATE TABLE "authorities" (
    "id" TEXT NOT NULL,
    "certificate" TEXT NOT NULL,
    "secret_name" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,
    "retired_at" TIMESTAMPTZ(3),

    CONSTRAINT "authorities_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "signing_keys" (
    "id" TEXT NOT NULL,
    "purpose" TEXT NOT NULL,
    "public_key" TEXT NOT NULL,
    "secret_name" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "retired_at" TIMESTAMPTZ(3),

    CONSTRAINT "signing_keys_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "key_sets" (
    "version" INTEGER NOT NULL,
    "document" JSONB NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "key_sets_pkey" PRIMARY KEY ("version")
);

-- CreateTable
CREATE TABLE "fleets" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "fleets_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "api_keys" (
    "id" TEXT NOT NULL,
    "fleet_id" TEXT,
    "name" TEXT NOT NULL,
    "role" TEXT NOT NULL,
    "prefix" TEXT NOT NULL,
    "hash" BYTEA NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expires_at" TIMESTAMPTZ(3),
    "last_used_at" TIMESTAMPTZ(3),
    "revoked_at" TIMESTAMPTZ(3),

    CONSTRAINT "api_keys_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "audit" (
    "id" BIGSERIAL NOT NULL,
    "fleet_id" TEXT,
    "at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "actor" TEXT NOT NULL,
    "action" TEXT NOT NULL,
    "subject" TEXT NOT NULL,
    "status" INTEGER NOT NULL,
    "details" JSONB NOT NULL DEFAULT '{}',

    CONSTRAINT "audit_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "events" (
    "id" BIGSERIAL NOT NULL,
    "tx" xid8 NOT NULL DEFAULT pg_current_xact_id(),
    "fleet_id" TEXT NOT NULL,
    "type" TEXT NOT NULL,
    "subject" TEXT NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "data" JSONB NOT NULL DEFAULT '{}',

    CONSTRAINT "events_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "devices" (
    "fleet_id" TEXT NOT NULL,
    "id" TEXT NOT NULL,
    "key" SERIAL NOT NULL,
    "name" TEXT NOT NULL,
    "state" TEXT NOT NULL DEFAULT 'active',
    "tier" TEXT NOT NULL,
    "tier_override" TEXT,
    "tags" JSONB NOT NULL DEFAULT '{}',
    "profile" JSONB NOT NULL,
    "pipelines" TEXT[],
    "agent_version" TEXT NOT NULL,
    "epoch" INTEGER NOT NULL DEFAULT 1,
    "enrolled_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "decommissioned_at" TIMESTAMPTZ(3),
    "last_seen_at" TIMESTAMPTZ(3),
    "online_until" TIMESTAMPTZ(3),
    "online" BOOLEAN NOT NULL DEFAULT false,

    CONSTRAINT "devices_pkey" PRIMARY KEY ("fleet_id","id")
);

-- CreateTable
CREATE TABLE "groups" (
    "fleet_id" TEXT NOT NULL,
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "filter" JSONB,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "groups_pkey" PRIMARY KEY ("fleet_id","id")
);

-- CreateTable
CREATE TABLE "group_members" (
    "fleet_id" TEXT NOT NULL,
    "group_id" TEXT NOT NULL,
    "device_id" TEXT NOT NULL,

    CONSTRAINT "group_members_pkey" PRIMARY KEY ("fleet_id","group_id","device_id")
);

-- CreateTable
CREATE TABLE "enrolment_tokens" (
    "fleet_id" TEXT NOT NULL,
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "hash" BYTEA NOT NULL,
    "max_uses" INTEGER NOT NULL,
    "uses" INTEGER NOT NULL DEFAULT 0,
    "group_id" TEXT,
    "device_id" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,
    "revoked_at" TIMESTAMPTZ(3),

    CONSTRAINT "enrolment_tokens_pkey" PRIMARY KEY ("fleet_id","id")
);

-- CreateTable
CREATE TABLE "certificates" (
    "serial" TEXT NOT NULL,
    "fleet_id" TEXT NOT NULL,
    "device_id" TEXT NOT NULL,
    "epoch" INTEGER NOT NULL,
    "fingerprint" TEXT NOT NULL,
    "issued_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,
    "revoked_at" TIMESTAMPTZ(3),
    "revocation_reason" TEXT,

    CONSTRAINT "certificates_pkey" PRIMARY KEY ("serial")
);

-- CreateTable
CREATE TABLE "twins" (
    "fleet_id" TEXT NOT NULL,
    "device_id" TEXT NOT NULL,
    "desired" JSONB NOT NULL,
    "epoch" INTEGER NOT NULL,
    "version" INTEGER NOT NULL DEFAULT 0,
    "rollback" BOOLEAN NOT NULL DEFAULT false,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "reported" JSONB,
    "reported_boot" INTEGER,
    "reported_seq" BIGINT,
    "reported_at" TIMESTAMPTZ(3),
    "seen_epoch" INTEGER NOT NULL DEFAULT 0,
    "seen_version" INTEGER NOT NULL DEFAULT 0,

    CONSTRAINT "twins_pkey" PRIMARY KEY ("fleet_id","device_id")
);

-- CreateTable
CREATE TABLE "device_outbox" (
    "id" BIGSERIAL NOT NULL,
    "fleet_id" TEXT NOT NULL,
    "device_id" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "payload" JSONB NOT NULL DEFAULT '{}',
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "sent_at" TIMESTAMPTZ(3),

    CONSTRAINT "device_outbox_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "artifacts" (
    "fleet_id" TEXT NOT NULL,
    "digest" TEXT NOT NULL,
    "size_bytes" BIGINT NOT NULL,
    "media_type" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "artifacts_pkey" PRIMARY KEY ("fleet_id","digest")
);

-- CreateTable
CREATE TABLE "models" (
    "fleet_id" TEXT NOT NULL,
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "description" TEXT NOT NULL DEFAULT '',
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "models_pkey" PRIMARY KEY ("fleet_id","id")
);

-- CreateTable
CREATE TABLE "releases" (
    "fleet_id" TEXT NOT NULL,
    "id" TEXT NOT NULL,
    "model_id" TEXT NOT NULL,
    "version" INTEGER NOT NULL,
    "status" TEXT NOT NULL DEFAULT 'BUILDING',
    "progress" DOUBLE PRECISION NOT NULL DEFAULT 0,
    "phase" TEXT NOT NULL DEFAULT 'queued',
    "error_code" TEXT,
    "error_message" TEXT,
    "family" TEXT NOT NULL,
    "training" JSONB,
    "manifest_digest" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "ready_at" TIMESTAMPTZ(3),

    CONSTRAINT "releases_pkey" PRIMARY KEY ("fleet_id","id")
);

-- CreateTable
CREATE TABLE "variants" (
    "fleet_id" TEXT NOT NULL,
    "release_id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "precision" TEXT NOT NULL,
    "size" TEXT NOT NULL,
    "digest" TEXT NOT NULL,
    "size_bytes" BIGINT NOT NULL,
    "document" JSONB NOT NULL,

    CONSTRAINT "variants_pkey" PRIMARY KEY ("fleet_id","release_id","name")
);

-- CreateTable
CREATE TABLE "variant_artifacts" (
    "fleet_id" TEXT NOT NULL,
    "release_id" TEXT NOT NULL,
    "variant" TEXT NOT NULL,
    "role" TEXT NOT NULL,
    "digest" TEXT NOT NULL,

    CONSTRAINT "variant_artifacts_pkey" PRIMARY KEY ("fleet_id","release_id","variant","digest")
);

-- CreateTable
CREATE TABLE "calibrations" (
    "fleet_id" TEXT NOT NULL,
    "device_id" TEXT NOT NULL,
    "pipeline" TEXT NOT NULL,
    "variant_digest" TEXT NOT NULL,
    "version" INTEGER NOT NULL,
    "document" JSONB NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "calibrations_pkey" PRIMARY KEY ("fleet_id","device_id","pipeline","variant_digest","version")
);

-- CreateTable
CREATE TABLE "rollouts" (
    "fleet_id" TEXT NOT NULL,
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "subject" TEXT NOT NULL DEFAULT 'model',
    "slot" TEXT NOT NULL,
    "release_id" TEXT NOT NULL,
    "target" JSONB NOT NULL,
    "failure_threshold_percent" DOUBLE PRECISION NOT NULL DEFAULT 0,
    "step_timeout_seconds" INTEGER NOT NULL DEFAULT 300,
    "rollback" BOOLEAN NOT NULL DEFAULT false,
    "status" TEXT NOT NULL DEFAULT 'RUNNING',
    "status_reason" TEXT,
    "version" INTEGER NOT NULL DEFAULT 1,
    "total" INTEGER NOT NULL DEFAULT 0,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "started_at" TIMESTAMPTZ(3),
    "ended_at" TIMESTAMPTZ(3),

    CONSTRAINT "rollouts_pkey" PRIMARY KEY ("fleet_id","id")
);

-- CreateTable
CREATE TABLE "waves" (
    "fleet_id" TEXT NOT NULL,
    "rollout_id" TEXT NOT NULL,
    "index" INTEGER NOT NULL,
    "size" JSONB NOT NULL,
    "total" INTEGER NOT NULL DEFAULT 0,
    "status" TEXT NOT NULL DEFAULT 'PENDING',
    "started_at" TIMESTAMPTZ(3),
    "ended_at" TIMESTAMPTZ(3),

    CONSTRAINT "waves_pkey" PRIMARY KEY ("fleet_id","rollout_id","index")
);

-- CreateTable
CREATE TABLE "executions" (
    "fleet_id" TEXT NOT NULL,
    "id" TEXT NOT NULL,
    "rollout_id" TEXT NOT NULL,
    "wave" INTEGER NOT NULL,
    "device_id" TEXT NOT NULL,
    "slot" TEXT NOT NULL,
    "status" TEXT NOT NULL DEFAULT 'QUEUED',
    "step" TEXT,
    "reason" TEXT,
    "message" TEXT,
    "progress" DOUBLE PRECISION,
    "variant" TEXT,
    "variant_digest" TEXT,
    "provider" TEXT,
    "version" INTEGER NOT NULL DEFAULT 1,
    "sequence" INTEGER NOT NULL DEFAULT 0,
    "previous" JSONB,
    "dispatched_at" TIMESTAMPTZ(3),
    "step_deadline" TIMESTAMPTZ(3),
    "queued_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "started_at" TIMESTAMPTZ(3),
    "ended_at" TIMESTAMPTZ(3),

    CONSTRAINT "executions_pkey" PRIMARY KEY ("fleet_id","id")
);

-- CreateTable
CREATE TABLE "boots" (
    "id" SERIAL NOT NULL,
    "fleet_id" TEXT NOT NULL,
    "device_id" TEXT NOT NULL,
    "boot_id" TEXT NOT NULL,
    "first_seen" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "boots_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "streams" (
    "id" SERIAL NOT NULL,
    "fleet_id" TEXT NOT NULL,
    "device_id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "channels" TEXT[],
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "streams_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "anomalies" (
    "fleet_id" TEXT NOT NULL,
    "device_id" TEXT NOT NULL,
    "id" TEXT NOT NULL,
    "revision" INTEGER NOT NULL,
    "pipeline" TEXT NOT NULL,
    "state" TEXT NOT NULL,
    "started_at" TIMESTAMPTZ(3) NOT NULL,
    "ended_at" TIMESTAMPTZ(3),
    "peak_at" TIMESTAMPTZ(3) NOT NULL,
    "peak_score" DOUBLE PRECISION NOT NULL,
    "threshold" DOUBLE PRECISION NOT NULL,
    "windows" INTEGER NOT NULL,
    "contributions" JSONB NOT NULL,
    "release_id" TEXT NOT NULL,
    "variant" TEXT NOT NULL,
    "variant_digest" TEXT NOT NULL,
    "provider" TEXT NOT NULL,
    "calibration_version" INTEGER,
    "rollout_id" TEXT,
    "received_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "anomalies_pkey" PRIMARY KEY ("fleet_id","device_id","id")
);

-- CreateTable
CREATE TABLE "escalations" (
    "fleet_id" TEXT NOT NULL,
    "device_id" TEXT NOT NULL,
    "id" TEXT NOT NULL,
    "pipeline" TEXT NOT NULL,
    "release_id" TEXT NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL,
    "score" DOUBLE PRECISION NOT NULL,
    "verdict" JSONB,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "decided_at" TIMESTAMPTZ(3),

    CONSTRAINT "escalations_pkey" PRIMARY KEY ("fleet_id","device_id","id")
);

-- CreateTable
CREATE TABLE "alerts" (
    "fleet_id" TEXT NOT NULL,
    "id" TEXT NOT NULL,
    "rule" TEXT NOT NULL,
    "subject" TEXT NOT NULL,
    "state" TEXT NOT NULL DEFAULT 'open',
    "message" TEXT NOT NULL,
    "data" JSONB NOT NULL DEFAULT '{}',
    "opened_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "resolved_at" TIMESTAMPTZ(3),

    CONSTRAINT "alerts_pkey" PRIMARY KEY ("fleet_id","id")
);

-- CreateTable
CREATE TABLE "benchmarks" (
    "boot_id" INTEGER NOT NULL,
    "seq" BIGINT NOT NULL,
    "fleet_id" TEXT NOT NULL,
    "device_id" TEXT NOT NULL,
    "pipeline" TEXT NOT NULL,
    "release_id" TEXT NOT NULL,
    "variant" TEXT NOT NULL,
    "variant_digest" TEXT NOT NULL,
    "provider" TEXT NOT NULL,
    "runs" INTEGER NOT NULL,
    "p50_us" DOUBLE PRECISION NOT NULL,
    "p95_us" DOUBLE PRECISION NOT NULL,
    "p99_us" DOUBLE PRECISION NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "benchmarks_pkey" PRIMARY KEY ("boot_id","seq")
);

-- CreateTable
CREATE TABLE "device_logs" (
    "boot_id" INTEGER NOT NULL,
    "seq" BIGINT NOT NULL,
    "fleet_id" TEXT NOT NULL,
    "device_id" TEXT NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL,
    "level" TEXT NOT NULL,
    "code" TEXT NOT NULL,
    "message" TEXT NOT NULL,
    "fields" JSONB NOT NULL DEFAULT '{}',
    "received_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "device_logs_pkey" PRIMARY KEY ("boot_id","seq")
);

-- CreateTable
CREATE TABLE "rejects" (
    "id" BIGSERIAL NOT NULL,
    "fleet_id" TEXT NOT NULL,
    "device_id" TEXT NOT NULL,
    "topic" TEXT NOT NULL,
    "code" TEXT NOT NULL,
    "message" TEXT NOT NULL,
    "payload" BYTEA NOT NULL,
    "size_bytes" INTEGER NOT NULL,
    "received_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "rejects_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "api_keys_hash_key" ON "api_keys"("hash");

-- CreateIndex
CREATE INDEX "api_keys_fleet_id_created_at_idx" ON "api_keys"("fleet_id", "created_at");

-- CreateIndex
CREATE INDEX "audit_fleet_id_id_idx" ON "audit"("fleet_id", "id");

-- CreateIndex
CREATE INDEX "events_tx_id_idx" ON "events"("tx", "id");

-- CreateIndex
CREATE INDEX "events_at_idx" ON "events"("at");

-- CreateIndex
CREATE UNIQUE INDEX "devices_id_key" ON "devices"("id");

-- CreateIndex
CREATE UNIQUE INDEX "devices_key_key" ON "devices"("key");

-- CreateIndex
CREATE INDEX "devices_fleet_id_name_idx" ON "devices"("fleet_id", "name");

-- CreateIndex
CREATE INDEX "devices_fleet_id_last_seen_at_idx" ON "devices"("fleet_id", "last_seen_at");

-- CreateIndex
CREATE INDEX "devices_fleet_id_tier_idx" ON "devices"("fleet_id", "tier");

-- CreateIndex
CREATE INDEX "devices_tags_idx" ON "devices" USING GIN ("tags" jsonb_path_ops);

-- CreateIndex
CREATE UNIQUE INDEX "groups_fleet_id_name_key" ON "groups"("fleet_id", "name");

-- CreateIndex
CREATE INDEX "group_members_fleet_id_device_id_idx" ON "group_members"("fleet_id", "device_id");

-- CreateIndex
CREATE UNIQUE INDEX "enrolment_tokens_hash_key" ON "enrolment_tokens"("hash");

-- CreateIndex
CREATE UNIQUE INDEX "certificates_fingerprint_key" ON "certificates"("fingerprint");

-- CreateIndex
CREATE INDEX "certificates_fleet_id_device_id_idx" ON "certificates"("fleet_id", "device_id");

-- CreateIndex
CREATE INDEX "device_outbox_fleet_id_device_id_idx" ON "device_outbox"("fleet_id", "device_id");

-- CreateIndex
CREATE INDEX "artifacts_fleet_id_created_at_idx" ON "artifacts"("fleet_id", "created_at");

-- CreateIndex
CREATE INDEX "releases_fleet_id_created_at_idx" ON "releases"("fleet_id", "created_at");

-- CreateIndex
CREATE UNIQUE INDEX "releases_fleet_id_model_id_version_key" ON "releases"("fleet_id", "model_id", "version");

-- CreateIndex
CREATE INDEX "variants_fleet_id_digest_idx" ON "variants"("fleet_id", "digest");

-- CreateIndex
CREATE INDEX "variant_artifacts_fleet_id_digest_idx" ON "variant_artifacts"("fleet_id", "digest");

-- CreateIndex
CREATE INDEX "rollouts_fleet_id_created_at_idx" ON "rollouts"("fleet_id", "created_at");

-- CreateIndex
CREATE INDEX "rollouts_status_idx" ON "rollouts"("status");

-- CreateIndex
CREATE INDEX "executions_fleet_id_rollout_id_wave_status_idx" ON "executions"("fleet_id", "rollout_id", "wave", "status");

-- CreateIndex
CREATE INDEX "executions_fleet_id_device_id_queued_at_idx" ON "executions"("fleet_id", "device_id", "queued_at");

-- CreateIndex
CREATE UNIQUE INDEX "executions_fleet_id_rollout_id_device_id_key" ON "executions"("fleet_id", "rollout_id", "device_id");

-- CreateIndex
CREATE UNIQUE INDEX "boots_fleet_id_device_id_boot_id_key" ON "boots"("fleet_id", "device_id", "boot_id");

-- CreateIndex
CREATE UNIQUE INDEX "streams_fleet_id_device_id_name_channels_key" ON "streams"("fleet_id", "device_id", "name", "channels");

-- CreateIndex
CREATE INDEX "anomalies_fleet_id_started_at_idx" ON "anomalies"("fleet_id", "started_at");

-- CreateIndex
CREATE INDEX "anomalies_fleet_id_device_id_started_at_idx" ON "anomalies"("fleet_id", "device_id", "started_at");

-- CreateIndex
CREATE INDEX "anomalies_fleet_id_release_id_started_at_idx" ON "anomalies"("fleet_id", "release_id", "started_at");

-- CreateIndex
CREATE INDEX "alerts_fleet_id_opened_at_idx" ON "alerts"("fleet_id", "opened_at");

-- CreateIndex
CREATE INDEX "benchmarks_fleet_id_variant_digest_idx" ON "benchmarks"("fleet_id", "variant_digest");

-- CreateIndex
CREATE INDEX "device_logs_fleet_id_device_id_at_idx" ON "device_logs"("fleet_id", "device_id", "at");

-- CreateIndex
CREATE INDEX "rejects_fleet_id_id_idx" ON "rejects"("fleet_id", "id");

-- AddForeignKey
ALTER TABLE "api_keys" ADD CONSTRAINT "api_keys_fleet_id_fkey" FOREIGN KEY ("fleet_id") REFERENCES "fleets"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "devices" ADD CONSTRAINT "devices_fleet_id_fkey" FOREIGN KEY ("fleet_id") REFERENCES "fleets"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "groups" ADD CONSTRAINT "groups_fleet_id_fkey" FOREIGN KEY ("fleet_id") REFERENCES "fleets"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "group_members" ADD CONSTRAINT "group_members_fleet_id_group_id_fkey" FOREIGN KEY ("fleet_id", "group_id") REFERENCES "groups"("fleet_id", "id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "group_members" ADD CONSTRAINT "group_members_fleet_id_device_id_fkey" FOREIGN KEY ("fleet_id", "device_id") REFERENCES "devices"("fleet_id", "id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "enrolment_tokens" ADD CONSTRAINT "enrolment_tokens_fleet_id_fkey" FOREIGN KEY ("fleet_id") REFERENCES "fleets"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "enrolment_tokens" ADD CONSTRAINT "enrolment_tokens_fleet_id_group_id_fkey" FOREIGN KEY ("fleet_id", "group_id") REFERENCES "groups"("fleet_id", "id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "certificates" ADD CONSTRAINT "certificates_fleet_id_device_id_fkey" FOREIGN KEY ("fleet_id", "device_id") REFERENCES "devices"("fleet_id", "id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "twins" ADD CONSTRAINT "twins_fleet_id_device_id_fkey" FOREIGN KEY ("fleet_id", "device_id") REFERENCES "devices"("fleet_id", "id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "device_outbox" ADD CONSTRAINT "device_outbox_fleet_id_device_id_fkey" FOREIGN KEY ("fleet_id", "device_id") REFERENCES "devices"("fleet_id", "id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "artifacts" ADD CONSTRAINT "artifacts_fleet_id_fkey" FOREIGN KEY ("fleet_id") REFERENCES "fleets"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "models" ADD CONSTRAINT "models_fleet_id_fkey" FOREIGN KEY ("fleet_id") REFERENCES "fleets"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "releases" ADD CONSTRAINT "releases_fleet_id_model_id_fkey" FOREIGN KEY ("fleet_id", "model_id") REFERENCES "models"("fleet_id", "id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "variants" ADD CONSTRAINT "variants_fleet_id_release_id_fkey" FOREIGN KEY ("fleet_id", "release_id") REFERENCES "releases"("fleet_id", "id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "variant_artifacts" ADD CONSTRAINT "variant_artifacts_fleet_id_release_id_variant_fkey" FOREIGN KEY ("fleet_id", "release_id", "variant") REFERENCES "variants"("fleet_id", "release_id", "name") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "calibrations" ADD CONSTRAINT "calibrations_fleet_id_device_id_fkey" FOREIGN KEY ("fleet_id", "device_id") REFERENCES "devices"("fleet_id", "id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "rollouts" ADD CONSTRAINT "rollouts_fleet_id_fkey" FOREIGN KEY ("fleet_id") REFERENCES "fleets"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "rollouts" ADD CONSTRAINT "rollouts_fleet_id_release_id_fkey" FOREIGN KEY ("fleet_id", "release_id") REFERENCES "releases"("fleet_id", "id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "waves" ADD CONSTRAINT "waves_fleet_id_rollout_id_fkey" FOREIGN KEY ("fleet_id", "rollout_id") REFERENCES "rollouts"("fleet_id", "id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "executions" ADD CONSTRAINT "executions_fleet_id_rollout_id_fkey" FOREIGN KEY ("fleet_id", "rollout_id") REFERENCES "rollouts"("fleet_id", "id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "executions" ADD CONSTRAINT "executions_fleet_id_rollout_id_wave_fkey" FOREIGN KEY ("fleet_id", "rollout_id", "wave") REFERENCES "waves"("fleet_id", "rollout_id", "index") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "executions" ADD CONSTRAINT "executions_fleet_id_device_id_fkey" FOREIGN KEY ("fleet_id", "device_id") REFERENCES "devices"("fleet_id", "id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "boots" ADD CONSTRAINT "boots_fleet_id_device_id_fkey" FOREIGN KEY ("fleet_id", "device_id") REFERENCES "devices"("fleet_id", "id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "streams" ADD CONSTRAINT "streams_fleet_id_device_id_fkey" FOREIGN KEY ("fleet_id", "device_id") REFERENCES "devices"("fleet_id", "id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "anomalies" ADD CONSTRAINT "anomalies_fleet_id_device_id_fkey" FOREIGN KEY ("fleet_id", "device_id") REFERENCES "devices"("fleet_id", "id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "escalations" ADD CONSTRAINT "escalations_fleet_id_device_id_fkey" FOREIGN KEY ("fleet_id", "device_id") REFERENCES "devices"("fleet_id", "id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "benchmarks" ADD CONSTRAINT "benchmarks_fleet_id_device_id_fkey" FOREIGN KEY ("fleet_id", "device_id") REFERENCES "devices"("fleet_id", "id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "device_logs" ADD CONSTRAINT "device_logs_fleet_id_device_id_fkey" FOREIGN KEY ("fleet_id", "device_id") REFERENCES "devices"("fleet_id", "id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "rejects" ADD CONSTRAINT "rejects_fleet_id_fkey" FOREIGN KEY ("fleet_id") REFERENCES "fleets"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- What Prisma's schema can't say --------------------------------------------------------------------------------------

-- Telemetry: one row per sample. The key serves both the queries (stream, time) and the deduplication: a message that is
-- sent again has the same stream, time, boot, sequence number and row. `at` is the device's time, never altered.
-- No foreign key to streams and boots: the writer has just looked both up, and streams are never deleted alone.
CREATE TABLE "samples" (
    "stream_id" INTEGER NOT NULL,
    "at" TIMESTAMPTZ NOT NULL,
    "boot_id" INTEGER NOT NULL,
    "seq" BIGINT NOT NULL,
    "idx" SMALLINT NOT NULL,
    "values" REAL[] NOT NULL,
    "received_at" TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT "samples_pkey" PRIMARY KEY ("stream_id", "at", "boot_id", "seq", "idx")
) PARTITION BY RANGE ("at");

-- Whatever lies outside the months that were prepared: replayed recordings, devices with a wrong clock.
CREATE TABLE "samples_default" PARTITION OF "samples" DEFAULT;

-- One unfinished execution per device slot, once its desired state was written.
CREATE UNIQUE INDEX "executions_one_active_per_slot" ON "executions" ("fleet_id", "device_id", "slot")
    WHERE "dispatched_at" IS NOT NULL AND "status" IN ('QUEUED', 'IN_PROGRESS');
CREATE INDEX "executions_step_deadline" ON "executions" ("step_deadline") WHERE "step_deadline" IS NOT NULL;
CREATE INDEX "device_outbox_pending" ON "device_outbox" ("id") WHERE "sent_at" IS NULL;
CREATE INDEX "devices_presence" ON "devices" ("online_until") WHERE "online";

ALTER TABLE "instance" ADD CONSTRAINT "instance_one_row" CHECK ("id" = 1);
ALTER TABLE "api_keys" ADD CONSTRAINT "api_keys_role" CHECK ("role" IN ('viewer', 'operator', 'admin'));
ALTER TABLE "executions" ADD CONSTRAINT "executions_status"
    CHECK ("status" IN ('QUEUED', 'IN_PROGRESS', 'SUCCEEDED', 'FAILED', 'TIMED_OUT', 'REJECTED', 'CANCELED', 'REMOVED'));
ALTER TABLE "rollouts" ADD CONSTRAINT "rollouts_status"
    CHECK ("status" IN ('DRAFT', 'RUNNING', 'PAUSED', 'SUCCEEDED', 'FAILED', 'ABORTED'));
ALTER TABLE "enrolment_tokens" ADD CONSTRAINT "enrolment_tokens_uses" CHECK ("uses" <= "max_uses");

-- A terminal execution is final, whoever writes.
CREATE FUNCTION "drover_execution_is_final"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD."status" NOT IN ('QUEUED', 'IN_PROGRESS') AND NEW."status" IS DISTINCT FROM OLD."status" THEN
        RAISE EXCEPTION 'execution % is final (%)', OLD."id", OLD."status" USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER "executions_final" BEFORE UPDATE ON "executions"
    FOR EACH ROW EXECUTE FUNCTION "drover_execution_is_final"();

-- Wakes readers; they find out for themselves what is new.
CREATE FUNCTION "drover_notify"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify(TG_ARGV[0], '');
    RETURN NULL;
END $$;
CREATE TRIGGER "events_notify" AFTER INSERT ON "events"
    FOR EACH STATEMENT EXECUTE FUNCTION "drover_notify"('drover_events');
CREATE TRIGGER "device_outbox_notify" AFTER INSERT ON "device_outbox"
    FOR EACH STATEMENT EXECUTE FUNCTION "drover_notify"('drover_device_outbox');
