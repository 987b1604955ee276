-- AlterTable
ALTER TABLE "benchmarks" ADD COLUMN     "after_c" DOUBLE PRECISION,
ADD COLUMN     "before_c" DOUBLE PRECISION,
ADD COLUMN     "chosen" BOOLEAN NOT NULL DEFAULT false,
ADD COLUMN     "memory_bytes" BIGINT,
ADD COLUMN     "reason" TEXT;

-- AlterTable
ALTER TABLE "rollouts" ADD COLUMN     "accuracy_budget" DOUBLE PRECISION,
ADD COLUMN     "variant" TEXT;

-- AlterTable
ALTER TABLE "variant_artifacts" ADD COLUMN     "encoding" TEXT NOT NULL DEFAULT 'identity';

-- AlterTable
ALTER TABLE "variants" ADD COLUMN     "cost" JSONB,
ADD COLUMN     "offered" BOOLEAN NOT NULL DEFAULT true,
ADD COLUMN     "refusals" JSONB NOT NULL DEFAULT '[]';

-- CreateTable
CREATE TABLE "builds" (
    "fleet_id" TEXT NOT NULL,
    "id" TEXT NOT NULL,
    "release_id" TEXT NOT NULL,
    "model_id" TEXT NOT NULL,
    "request" JSONB NOT NULL,
    "status" TEXT NOT NULL DEFAULT 'QUEUED',
    "progress" DOUBLE PRECISION NOT NULL DEFAULT 0,
    "phase" TEXT NOT NULL DEFAULT 'queued',
    "loss" DOUBLE PRECISION,
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "lease_holder" TEXT,
    "lease_until" TIMESTAMPTZ(3),
    "error_code" TEXT,
    "error_message" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "started_at" TIMESTAMPTZ(3),
    "ended_at" TIMESTAMPTZ(3),

    CONSTRAINT "builds_pkey" PRIMARY KEY ("fleet_id","id")
);

-- CreateTable
CREATE TABLE "build_datasets" (
    "fleet_id" TEXT NOT NULL,
    "build_id" TEXT NOT NULL,
    "dataset_id" TEXT NOT NULL,

    CONSTRAINT "build_datasets_pkey" PRIMARY KEY ("fleet_id","build_id","dataset_id")
);

-- CreateTable
CREATE TABLE "datasets" (
    "fleet_id" TEXT NOT NULL,
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "status" TEXT NOT NULL DEFAULT 'VALIDATING',
    "capture_id" TEXT,
    "files" JSONB NOT NULL,
    "options" JSONB NOT NULL DEFAULT '{}',
    "report" JSONB,
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "error_code" TEXT,
    "error_message" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "datasets_pkey" PRIMARY KEY ("fleet_id","id")
);

-- CreateTable
CREATE TABLE "captures" (
    "fleet_id" TEXT NOT NULL,
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "status" TEXT NOT NULL DEFAULT 'RUNNING',
    "pipeline" TEXT NOT NULL,
    "duration_ms" INTEGER NOT NULL,
    "dataset_id" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "deadline_at" TIMESTAMPTZ(3) NOT NULL,
    "ended_at" TIMESTAMPTZ(3),

    CONSTRAINT "captures_pkey" PRIMARY KEY ("fleet_id","id")
);

-- CreateTable
CREATE TABLE "capture_devices" (
    "fleet_id" TEXT NOT NULL,
    "capture_id" TEXT NOT NULL,
    "device_id" TEXT NOT NULL,
    "status" TEXT NOT NULL DEFAULT 'PENDING',
    "message" TEXT,
    "rows" INTEGER NOT NULL DEFAULT 0,
    "rows_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "sent_rows" INTEGER,

    CONSTRAINT "capture_devices_pkey" PRIMARY KEY ("fleet_id","capture_id","device_id")
);

-- CreateIndex
CREATE INDEX "builds_fleet_id_created_at_id_idx" ON "builds"("fleet_id", "created_at", "id");

-- CreateIndex
CREATE UNIQUE INDEX "builds_fleet_id_release_id_key" ON "builds"("fleet_id", "release_id");

-- CreateIndex
CREATE INDEX "build_datasets_fleet_id_dataset_id_idx" ON "build_datasets"("fleet_id", "dataset_id");

-- CreateIndex
CREATE INDEX "datasets_fleet_id_created_at_id_idx" ON "datasets"("fleet_id", "created_at", "id");

-- CreateIndex
CREATE INDEX "captures_fleet_id_created_at_id_idx" ON "captures"("fleet_id", "created_at", "id");

-- CreateIndex
CREATE INDEX "capture_devices_fleet_id_device_id_idx" ON "capture_devices"("fleet_id", "device_id");

-- CreateIndex
CREATE INDEX "benchmarks_fleet_id_release_id_device_id_idx" ON "benchmarks"("fleet_id", "release_id", "device_id");

-- CreateIndex
CREATE INDEX "benchmarks_fleet_id_at_boot_id_seq_idx" ON "benchmarks"("fleet_id", "at", "boot_id", "seq");

-- AddForeignKey
ALTER TABLE "builds" ADD CONSTRAINT "builds_fleet_id_release_id_fkey" FOREIGN KEY ("fleet_id", "release_id") REFERENCES "releases"("fleet_id", "id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "build_datasets" ADD CONSTRAINT "build_datasets_fleet_id_build_id_fkey" FOREIGN KEY ("fleet_id", "build_id") REFERENCES "builds"("fleet_id", "id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "build_datasets" ADD CONSTRAINT "build_datasets_fleet_id_dataset_id_fkey" FOREIGN KEY ("fleet_id", "dataset_id") REFERENCES "datasets"("fleet_id", "id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "datasets" ADD CONSTRAINT "datasets_fleet_id_fkey" FOREIGN KEY ("fleet_id") REFERENCES "fleets"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "captures" ADD CONSTRAINT "captures_fleet_id_fkey" FOREIGN KEY ("fleet_id") REFERENCES "fleets"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "capture_devices" ADD CONSTRAINT "capture_devices_fleet_id_capture_id_fkey" FOREIGN KEY ("fleet_id", "capture_id") REFERENCES "captures"("fleet_id", "id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "capture_devices" ADD CONSTRAINT "capture_devices_fleet_id_device_id_fkey" FOREIGN KEY ("fleet_id", "device_id") REFERENCES "devices"("fleet_id", "id") ON DELETE CASCADE ON UPDATE CASCADE;

-- Releases that were made before there were builds: what was kept of their training becomes a build of its own. Those that were being
-- built start over.
INSERT INTO "builds" ("fleet_id", "id", "release_id", "model_id", "request", "status", "progress", "phase", "error_code",
                      "error_message", "created_at", "started_at", "ended_at")
SELECT r."fleet_id", 'bld_' || r."id", r."id", r."model_id",
       jsonb_build_object(
         'model', r."model_id",
         'training', (r."training" - 'evaluation' - 'explainedVariance') || jsonb_build_object(
           'options', CASE WHEN r."training" ? 'explainedVariance'
                           THEN jsonb_build_object('explainedVariance', r."training"->'explainedVariance') ELSE '{}' END),
         'evaluation', jsonb_build_object('artifacts', coalesce(r."training"->'evaluation', '[]'), 'datasets', '[]'::jsonb),
         'contract', '{"fp16": {"maxVusPrLoss": 0.01, "minAgreement": 0.99}, "int8": {"maxVusPrLoss": 0.01, "minAgreement": 0.99},
                       "int8-dynamic": {"maxVusPrLoss": 0.01, "minAgreement": 0.99}, "int4": {"maxVusPrLoss": 0.03},
                       "pruned": {"maxVusPrLoss": 0.02}, "sparse": {"maxVusPrLoss": 0.02},
                       "distilled": {"maxVusPrLoss": 0.03}}'::jsonb),
       CASE r."status" WHEN 'READY' THEN 'SUCCEEDED' WHEN 'FAILED' THEN 'FAILED' WHEN 'CANCELED' THEN 'CANCELED' ELSE 'QUEUED' END,
       CASE WHEN r."status" = 'BUILDING' THEN 0 ELSE r."progress" END,
       CASE WHEN r."status" = 'BUILDING' THEN 'queued' ELSE r."phase" END,
       r."error_code", r."error_message", r."created_at", r."created_at",
       CASE WHEN r."status" = 'BUILDING' THEN NULL ELSE coalesce(r."ready_at", r."created_at") END
  FROM "releases" r WHERE r."training" IS NOT NULL;

-- AlterTable
ALTER TABLE "releases" DROP COLUMN "error_code",
DROP COLUMN "error_message",
DROP COLUMN "phase",
DROP COLUMN "progress",
DROP COLUMN "training",
ADD COLUMN     "card_digest" TEXT;

-- What Prisma's schema can't say --------------------------------------------------------------------------------------

ALTER TABLE "releases" ADD CONSTRAINT "releases_status" CHECK ("status" IN ('BUILDING', 'READY', 'FAILED', 'CANCELED'));
ALTER TABLE "builds" ADD CONSTRAINT "builds_status"
    CHECK ("status" IN ('QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELED'));
ALTER TABLE "datasets" ADD CONSTRAINT "datasets_status" CHECK ("status" IN ('VALIDATING', 'READY', 'INVALID'));
ALTER TABLE "captures" ADD CONSTRAINT "captures_status"
    CHECK ("status" IN ('RUNNING', 'COMPLETED', 'FAILED', 'CANCELED'));
ALTER TABLE "capture_devices" ADD CONSTRAINT "capture_devices_status"
    CHECK ("status" IN ('PENDING', 'SUCCEEDED', 'FAILED', 'TIMED_OUT', 'CANCELED'));

-- What the reconciler looks for: few rows among many that have ended.
CREATE INDEX "builds_unfinished" ON "builds" ("created_at") WHERE "status" IN ('QUEUED', 'RUNNING');
CREATE INDEX "datasets_unfinished" ON "datasets" ("created_at") WHERE "status" = 'VALIDATING';
CREATE INDEX "captures_unfinished" ON "captures" ("created_at") WHERE "status" = 'RUNNING';
-- Answers to commands, by the command: a capture finds them however late its worker looks.
CREATE INDEX "events_command_finished" ON "events" (("data" ->> 'command')) WHERE "type" = 'device.command-finished';
