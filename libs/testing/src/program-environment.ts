/** The environment of a program under test: what the person who runs the tests has configured for Drover is not in it. */
export function programEnvironment(env: Readonly<Record<string, string>>): Record<string, string | undefined> {
  const unset = Object.keys(process.env)
    .filter((name) => name.startsWith('DROVER_') || ['DATABASE_URL', 'REDIS_URL', 'MQTT_URL'].includes(name))
    .map((name) => [name, undefined]);
  return { ...(Object.fromEntries(unset) as Record<string, undefined>), ...env };
}
