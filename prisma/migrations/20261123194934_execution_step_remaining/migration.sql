-- AlterTable
ALTER TABLE "executions" ADD COLUMN     "step_remaining_ms" INTEGER;
