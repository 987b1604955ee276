/**
 * How the agent's process runs. V8's flags and the allocator's limits must be there before a process begins. Measured with
 * a model loaded and connected (docs/agent.md): together from 155 MB resident to 125.
 */
const V8_FLAGS = ['--max-semi-space-size=1', '--max-old-space-size=96', '--optimize-for-size', '--v8-pool-size=1'];
// The optimising compilers cost 12 MB and pay only from some thousand samples per second on. Sparkplug, which stays, must not
// compile beside the main thread: about one in fifty ends of a process hung for ever, because a compile job waited for a
// garbage collection that the ending thread no longer makes (https://github.com/nodejs/node/issues/54918).
const WITHOUT_OPTIMISING_COMPILERS = ['--no-turbofan', '--no-maglev', '--no-concurrent-sparkplug'];

/** @param {Record<string, string | undefined>} env */
export function v8Flags(env) {
  return env['DROVER_AGENT_JIT'] === '1' ? V8_FLAGS : [...V8_FLAGS, ...WITHOUT_OPTIMISING_COMPILERS];
}

export const ALLOCATOR = { MALLOC_ARENA_MAX: '2', MALLOC_TRIM_THRESHOLD_: '131072' };
