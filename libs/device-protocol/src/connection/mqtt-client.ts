import * as imported from 'mqtt/lib/client';

// The client class alone: the package's main entry also loads WebSocket, SOCKS and command-line code, memory that a small
// board lacks. It is CommonJS, and how deep its default export lies differs between Node and the tools that bundle or
// transform for it.
type Imported = { readonly default: unknown };
const outer = (imported as Imported).default;
const inner = typeof outer === 'function' ? outer : (outer as Imported).default;

export const MqttClient = inner as typeof imported.default.default;
export type MqttClient = InstanceType<typeof MqttClient>;
