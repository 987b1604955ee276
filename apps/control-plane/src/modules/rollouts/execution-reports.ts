import type { DesiredPipeline, ExecutionMessage, ExecutionReport } from '@drover/contracts';
import { executionMessageSchema } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import type { OnModuleInit } from '@nestjs/common';
import type { Transaction } from '../../platform/database/database.ts';
import { EventOutbox } from '../../platform/events/event-outbox.ts';
import type { NewEvent } from '../../platform/events/event-outbox.ts';
import { IngestRegistry } from '../telemetry/ingest/ingest-registry.ts';
import type { IngestItem, Refusal } from '../telemetry/ingest/ingest-registry.ts';
import { ExecutionRepository } from './execution.repository.ts';
import type { Restorable } from './execution.repository.ts';
import { RolloutEngine, executionEvent } from './rollout-engine.ts';
import { judgeReport } from './rollout-plan.ts';

export type ReceivedReport = IngestItem<ExecutionMessage>;

/** Takes what devices report of their executions, in the transaction of the ingest batch. */
@Injectable()
export class ExecutionReports implements OnModuleInit {
  constructor(
    private readonly registry: IngestRegistry,
    private readonly executions: ExecutionRepository,
    private readonly engine: RolloutEngine,
    private readonly events: EventOutbox,
  ) {}

  onModuleInit(): void {
    this.registry.register('execution', {
      schema: executionMessageSchema,
      write: (tx, items) => this.apply(tx, items),
    });
  }

  /** @returns the reports that can't be true; duplicates and late ones change nothing and are none of them */
  async apply(tx: Transaction, received: readonly ReceivedReport[]): Promise<Refusal[]> {
    const rows = await this.executions.lockReported(
      tx,
      [...new Set(received.map((item) => item.fleet))],
      [...new Set(received.map((item) => item.message.execution.execution))],
    );
    const states = new Map(rows.map((row) => [`${row.fleetId}/${row.id}`, row]));
    const refusals: Refusal[] = [];
    const ended = new Map<string, Restorable[]>();
    const news: NewEvent[] = [];
    for (const item of received) {
      const { fleet, device } = item;
      const report = item.message.execution;
      const key = `${fleet}/${report.execution}`;
      const row = states.get(key);
      if (!row || row.deviceId !== device) {
        const reason = `There is no execution "${report.execution}" of this device.`;
        refusals.push({ item, code: 'execution-unknown', reason });
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
      if (effect.kind === 'refused')
        refusals.push({ item, code: 'execution-report-invalid', reason: `execution.status: ${effect.message}` });
      if (effect.kind !== 'applied') continue;
      const deadline = effect.restartTimer ? new Date(Date.now() + row.stepTimeoutSeconds * 1_000) : undefined;
      await this.executions.applyReport(tx, fleet, row.id, report, deadline);
      if (effect.terminal && !effect.succeeded) {
        const previous = row.previous as DesiredPipeline | null;
        ended.set(fleet, [...(ended.get(fleet) ?? []), { id: row.id, device, slot: row.slot, previous }]);
      }
      // The next report of the same batch is judged by what this one made of the execution.
      states.set(key, { ...row, status: report.status, step: report.step, sequence: report.sequence });
      if (effect.terminal || report.step !== row.step) {
        const { status, reason, step, message, variant, provider } = report;
        const more = { step, message, variant, provider };
        news.push(executionEvent(fleet, row.rolloutId, { id: row.id, device }, status, reason, more));
      }
    }
    // Twins last, after every execution: the one order in which rows are locked.
    for (const [fleet, restorables] of [...ended].toSorted(([a], [b]) => (a < b ? -1 : 1)))
      await this.engine.restore(tx, fleet, restorables);
    await this.events.append(tx, ...news);
    return refusals;
  }
}
