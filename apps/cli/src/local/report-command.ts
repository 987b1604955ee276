import { cardToMarkdown } from '@drover/factory';
import { Command } from 'commander';
import { readCard } from './release-folder.ts';

/** `drover factory report`: the model card of a release on disk. */
export function reportCommand(): Command {
  return new Command('report')
    .description('Print the model card of a release')
    .argument('<folder>', 'that drover factory wrote')
    .option('--json', 'print JSON instead of Markdown')
    .action(async (folder: string, { json }: { json?: boolean }) => {
      const card = await readCard(folder);
      process.stdout.write(json ? `${JSON.stringify(card, null, 2)}\n` : cardToMarkdown(card));
    });
}
