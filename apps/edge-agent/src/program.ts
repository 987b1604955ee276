/** The process around `main`: signals, streams, exit code. The bundle's entry. */
import { main } from './main.ts';

const stopping = new AbortController();
for (const name of ['SIGTERM', 'SIGINT'] as const) {
  process.on(name, () => {
    // Whoever asks twice does not want to wait.
    if (stopping.signal.aborted) process.exit(130);
    stopping.abort();
  });
}

process.exitCode = await main({
  args: process.argv.slice(2),
  env: process.env,
  signal: stopping.signal,
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  // Beside this file in a bundle; inference finds its own where nothing was bundled.
  workerUrl: import.meta.url.endsWith('/dist/agent.js') ? new URL('./inference-worker.js', import.meta.url) : undefined,
});
// Native libraries may keep threads; everything of ours has been stopped.
process.exit();
