import type { DesiredPipeline, ExecutionReport } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import type { Transaction } from '../../platform/database/database.ts';
import { EventOutbox } from '../../platform/events/event-outbox.ts';
import { ExecutionRepository } from './execution.repository.ts';
import { RolloutEngine, executionEvent } from './rollout-engine.ts';
import { judgeReport } from './rollout-plan.ts';

export interface ReceivedReport {
  readonly fleet: string;
  readonly device: string;
  readonly report: ExecutionReport;
}

/** Why a report was set aside; null where it was taken or changed nothing. */
export type Refusal = { readonly code: string; readonly message: string } | null;

/** Takes what devices report of their executions, in the transaction of the ingest batch. */
@Injectable()
export class ExecutionReports {
  constructor(
    private readonly executions: ExecutionRepository,
    private readonly engine: RolloutEngine,
    private readonly events: EventOutbox,
  ) {}

  /** @returns one entry per report, in their order */
  async apply(tx: Transaction, received: readonly ReceivedReport[]): Promise<Refusal[]> {
    const rows = await this.executions.lockReported(
      tx,
      [...new Set(received.map((item) => item.fleet))],
      [...new Set(received.map((item) => item.report.execution))],
    );
    const states = new Map(rows.map((row) => [`${row.fleetId}/${row.id}`, row]));
    const refusals: Refusal[] = [];
    for (const { fleet, device, report } of received) {
      const key = `${fleet}/${report.execution}`;
      const row = states.get(key);
      if (!row || row.deviceId !== device) {
        refusals.push({
          code: 'execution-unknown',
          message: `There is no execution "${report.execution}" of this device.`,
        });
        continue;
      }
      const effect = judgeReport(
        {
          status: row.status as ExecutionReport['status'],
          step: row.step,
          sequence: row.sequence,
          dispatched: row.dispatchedAt !== null,
        },
        report,
      );
      refusals.push(effect.kind === 'refused' ? { code: 'execution-report-invalid', message: effect.message } : null);
      if (effect.kind !== 'applied') continue;
      const deadline = effect.restartTimer ? new Date(Date.now() + row.stepTimeoutSeconds * 1_000) : undefined;
      await this.executions.applyReport(tx, fleet, row.id, report, deadline);
      if (effect.terminal && !effect.succeeded) {
        await this.engine.restore(tx, fleet, [
          { id: row.id, device, slot: row.slot, previous: row.previous as DesiredPipeline | null },
        ]);
      }
      // The next report of the same batch is judged by what this one made of the execution.
      states.set(key, { ...row, status: report.status, step: report.step, sequence: report.sequence });
      if (effect.terminal || report.step !== row.step) {
        const { step, message, variant, provider } = report;
        await this.events.append(
          tx,
          executionEvent(fleet, row.rolloutId, { id: row.id, device }, report.status, report.reason, {
            step,
            message,
            variant,
            provider,
          }),
        );
      }
    }
    return refusals;
  }
}
