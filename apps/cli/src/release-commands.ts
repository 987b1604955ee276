import { api } from '@drover/contracts';
import type { Command } from 'commander';
import { addConnectionOptions, connect } from './connection.ts';
import type { ConnectionOptions } from './connection.ts';
import { formatObject } from './table.ts';

/** Adds `card` to the group `releases`. */
export function addReleaseCommands(releases: Command): void {
  addConnectionOptions(
    releases
      .command('card')
      .description('The model card: data, family, hyperparameters, metrics, variants, limits')
      .argument('<release>')
      .option('--markdown', 'as a document for people'),
  ).action(async (release: string, flags: ConnectionOptions & { markdown?: boolean }) => {
    // Loaded where it is used: it brings ONNX Runtime, which a call of the API does without.
    const { cardToMarkdown } = await import('@drover/factory');
    const card = await connect(flags).call(api.releases.card, { params: { release } });
    const text = flags.json
      ? `${JSON.stringify(card, null, 2)}\n`
      : flags.markdown
        ? cardToMarkdown(card)
        : `${formatObject(card)}\n`;
    process.stdout.write(text);
  });
}
