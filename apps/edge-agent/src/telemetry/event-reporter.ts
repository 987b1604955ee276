import type {
  Anomaly,
  BenchmarkMessage,
  Command,
  CommandStatusMessage,
  ExecutionReport,
  LogFields,
  LogMessage,
  ReportedState,
  deviceTopics,
} from '@drover/contracts';
import type { Outbox } from '@drover/device-protocol';
import type { Clock } from '@drover/runtime';

const MAX_TEXT = 2_000;

/** What an agent tells of itself, each put into the outbox in the form that its topic demands. */
export class EventReporter {
  readonly #outbox: Outbox;
  readonly #topics: ReturnType<typeof deviceTopics>;
  readonly #clock: Clock;

  constructor(outbox: Outbox, topics: ReturnType<typeof deviceTopics>, clock: Clock) {
    this.#outbox = outbox;
    this.#topics = topics;
    this.#clock = clock;
  }

  anomaly(anomaly: Anomaly): void {
    this.#outbox.put({ class: 'e', topic: this.#topics.event('anomaly'), body: { anomaly } });
  }

  execution(execution: ExecutionReport): void {
    this.#outbox.put({ class: 'e', topic: this.#topics.event('execution'), body: { execution } });
  }

  benchmark(benchmark: BenchmarkMessage['benchmark']): void {
    this.#outbox.put({ class: 'e', topic: this.#topics.event('benchmark'), body: { benchmark } });
  }

  log(level: LogMessage['log']['level'], code: string, message: string, fields?: LogFields): void {
    const log: LogMessage['log'] = {
      at: this.#clock.now(),
      level,
      code: code.slice(0, 64),
      message: message.slice(0, MAX_TEXT).toWellFormed(),
      ...(fields !== undefined && { fields }),
    };
    this.#outbox.put({ class: 'e', topic: this.#topics.event('log'), body: { log } });
  }

  reported(reported: ReportedState): void {
    this.#outbox.put({ class: 's', topic: this.#topics.reported, body: { reported } });
  }

  commandStatus(
    command: Pick<Command, 'type' | 'id'>,
    status: CommandStatusMessage['status'],
    message: string | null,
  ): void {
    const topic = this.#topics.commandStatus(command.type, command.id);
    this.#outbox.put({ class: 'e', topic, body: { status, message: message?.slice(0, MAX_TEXT) ?? null } });
  }
}
