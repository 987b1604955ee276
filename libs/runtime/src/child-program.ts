import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { type WriteStream, createWriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { OperationError, messageOf } from './errors.ts';

export interface ChildProgramOptions {
  /** How messages call it. */
  readonly name: string;
  /** The program. A `.js`, `.mjs` or `.ts` file runs on the Node.js that runs this one. */
  readonly file: string;
  readonly args?: readonly string[];
  /** On top of this process's environment; `undefined` takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** What it prints on stdout and stderr is appended here as well. */
  readonly logFile?: string;
}

export interface ProgramExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** The program could not be started, ended when it should not have, or did not print what was waited for. */
export class ChildProgramError extends OperationError {}

const TAIL_BYTES = 16 * 1024;
const UNREAD_LINES = 2_000;

/** Programs that are running, ended when this process ends in an orderly way, so that none is left behind. */
const running = new Set<ChildProgram>();
let endsThem = false;

function remember(program: ChildProgram): void {
  running.add(program);
  if (endsThem) return;
  endsThem = true;
  process.on('exit', () => {
    for (const other of running) other.kill('SIGTERM');
  });
}

interface Reader {
  /** True when the line was taken. */
  offer(line: string): boolean;
  end(): void;
}

/**
 * Another program, run and watched by this one: waits for a line it prints (its readiness), ends it politely, then by
 * force. It runs in a process group of its own: a Ctrl-C at the terminal reaches only the parent, which ends its
 * programs in the order it wants. Its own children are not touched.
 */
export class ChildProgram {
  readonly name: string;
  /** Resolves when the program has ended and everything it printed was read. Never rejects. */
  readonly exited: Promise<ProgramExit>;
  readonly #options: ChildProgramOptions;
  readonly #unread: string[] = [];
  readonly #readers = new Set<Reader>();
  readonly #finish: (exit: ProgramExit) => void;
  #child: ChildProcessByStdio<null, Readable, Readable> | undefined;
  #exit: ProgramExit | undefined;
  #stderr = '';
  #output = '';

  constructor(options: ChildProgramOptions) {
    this.#options = options;
    this.name = options.name;
    const { promise, resolve } = Promise.withResolvers<ProgramExit>();
    this.exited = promise;
    this.#finish = resolve;
  }

  /** @throws ChildProgramError when it is not running. */
  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new ChildProgramError(`${this.name} was not started`);
    return pid;
  }

  get running(): boolean {
    return this.#child?.pid !== undefined && this.#exit === undefined;
  }

  /** How it ended, undefined while it runs. */
  get exit(): ProgramExit | undefined {
    return this.#exit;
  }

  /** The last 16 KiB of its stderr. */
  get stderrTail(): string {
    return this.#stderr;
  }

  /** The last 16 KiB of stdout and stderr, in the order they came. */
  get outputTail(): string {
    return this.#output;
  }

  /** Starts the program once. Resolves when the operating system has it; readiness is `readLine`'s business.
   * @throws ChildProgramError when it cannot be started. */
  async start(): Promise<void> {
    if (this.#child)
      throw new ChildProgramError(`${this.name} was started before; a new start needs a new ChildProgram`);
    const { file, args = [], cwd, env = {}, logFile } = this.#options;
    const isScript = /\.[mc]?[jt]s$/.test(file);
    const child = spawn(isScript ? process.execPath : file, isScript ? [file, ...args] : [...args], {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    this.#child = child;
    const log = logFile === undefined ? undefined : createWriteStream(logFile, { flags: 'a' });
    log?.on('error', () => undefined);
    this.#watch(child, log);
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', () => resolve());
      child.once('error', (error) => {
        this.#end({ code: null, signal: null });
        reject(new ChildProgramError(`${this.name} could not be started: ${messageOf(error)}`, { cause: error }));
      });
    });
    // It may have ended already.
    if (!this.#exit) remember(this);
  }

  /**
   * The first line of stdout, already printed or yet to come, for which `match` returns something other than undefined;
   * lines up to it count as read.
   * @throws ChildProgramError when the program ends first or `timeoutMs` pass; the message holds the end of its stderr.
   */
  readLine<T>(match: (line: string) => T | undefined, timeoutMs: number): Promise<T> {
    return new Promise((resolve, reject) => {
      const fail = (what: string): void => {
        settle();
        reject(new ChildProgramError(`${this.name} ${what}${this.#tailForMessage()}`));
      };
      const timer = setTimeout(() => fail(`did not print the expected line within ${timeoutMs} ms`), timeoutMs);
      const settle = (): void => {
        clearTimeout(timer);
        this.#readers.delete(reader);
      };
      const reader: Reader = {
        offer: (line) => {
          let found: T | undefined;
          try {
            found = match(line);
          } catch (error) {
            fail(`printed a line that could not be read (${messageOf(error)}): ${line}`);
            return true;
          }
          if (found === undefined) return false;
          settle();
          resolve(found);
          return true;
        },
        end: () => fail(`ended (${describeExit(this.#exit)}) before it printed the expected line`),
      };
      this.#readers.add(reader);
      while (this.#unread.length > 0) {
        if (reader.offer(this.#unread.shift() as string)) return;
      }
      if (this.#exit) reader.end();
    });
  }

  /** Sends the signal, if the program still runs. */
  kill(signal: NodeJS.Signals): void {
    if (this.running) this.#child?.kill(signal);
  }

  /** SIGTERM, and SIGKILL when it still runs after `timeoutMs` (default 10 s). Resolves when it has ended. */
  async stop(options: { timeoutMs?: number } = {}): Promise<ProgramExit> {
    if (!this.#child) return { code: null, signal: null };
    this.kill('SIGTERM');
    const timer = setTimeout(() => this.kill('SIGKILL'), options.timeoutMs ?? 10_000);
    try {
      return await this.exited;
    } finally {
      clearTimeout(timer);
    }
  }

  #watch(child: ChildProcessByStdio<null, Readable, Readable>, log: WriteStream | undefined): void {
    const keep = (text: string): void => {
      this.#output = (this.#output + text).slice(-TAIL_BYTES);
      log?.write(text);
    };
    createInterface({ input: child.stdout, crlfDelay: Number.POSITIVE_INFINITY }).on('line', (line) => {
      keep(`${line}\n`);
      for (const reader of this.#readers) if (reader.offer(line)) return;
      this.#unread.push(line);
      if (this.#unread.length > UNREAD_LINES) this.#unread.shift();
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-TAIL_BYTES);
      keep(text);
    });
    // A grandchild that keeps the pipes open (a database server) must not hide that the program is gone.
    child.once('exit', (code, signal) => {
      const end = (): void => {
        log?.end();
        this.#end({ code, signal });
      };
      child.once('close', end);
      setTimeout(end, 500).unref();
    });
  }

  #end(exit: ProgramExit): void {
    if (this.#exit) return;
    this.#exit = exit;
    running.delete(this);
    for (const reader of this.#readers) reader.end();
    this.#finish(exit);
  }

  #tailForMessage(): string {
    const tail = this.#stderr.trimEnd().split('\n').slice(-20).join('\n');
    return tail === '' ? '' : `\n--- the end of its stderr:\n${tail}`;
  }
}

function describeExit(exit: ProgramExit | undefined): string {
  return exit?.signal ? `by ${exit.signal}` : `with code ${exit?.code ?? 'unknown'}`;
}
