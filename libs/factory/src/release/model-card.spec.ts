import { modelCardSchema } from '@drover/contracts';
import { describe, expect, it } from 'vitest';
import { machineRecording } from '../machine.fixture.ts';
import { buildRelease } from './build-release.ts';
import { cardToMarkdown } from './card-markdown.ts';

const DIGEST = 'ab'.repeat(32);

describe('a model card', async () => {
  const labelled = machineRecording(600, 2, [{ channel: 2, fromRow: 300, toRow: 360, offset: 0.5 }]);
  const { card, manifestDraft, artifacts } = await buildRelease({
    source: {
      kind: 'train',
      recordings: [{ ...machineRecording(700, 1), name: 'May | <b>morning</b>', digest: DIGEST }],
      family: { name: 'pca', options: { explainedVariance: 0.9 } },
    },
    evaluation: [{ recording: { ...labelled, name: 'leak' }, fromRow: 100 }],
    window: 8,
    seed: 7,
    createdAt: new Date('2026-11-23T12:00:00Z'),
  });

  it('says where the model comes from', () => {
    expect(modelCardSchema.parse(JSON.parse(JSON.stringify(card)))).toEqual(card);
    expect(card).toMatchObject({
      model: null,
      release: null,
      family: 'pca',
      seed: 7,
      createdAt: '2026-11-23T12:00:00.000Z',
    });
    expect(card.hyperparameters).toMatchObject({ explainedVariance: 0.9, folds: 8 });
    expect(card.data.trainedOn).toEqual([{ name: 'May | <b>morning</b>', rows: 700, digest: DIGEST }]);
    expect(card.data.evaluatedOn).toEqual([{ name: 'leak', rows: 500, digest: null, labelledShare: 0.12 }]);
    expect(card.signature).toEqual(manifestDraft.signature);
  });

  it('has a row for every variant that was made', () => {
    expect(card.variants.map(({ name, offered }) => [name, offered])).toEqual([
      ['fp32', true],
      ['int8', true],
    ]);
    for (const [i, { digest, sizeBytes, metrics, policy }] of card.variants.entries()) {
      expect(artifacts[i]).toMatchObject({ digest });
      expect(sizeBytes).toBe(artifacts[i]?.bytes.length);
      expect(manifestDraft.variants[i]).toMatchObject({ metrics, policy });
    }
  });

  it('can be read as Markdown, whatever the names are', () => {
    const markdown = cardToMarkdown({
      ...card,
      model: { id: 'm1', name: 'Pump' },
      release: { id: 'r1', version: 3 },
      choice: ['It moves together.'],
    });
    expect(markdown).toContain('# Pump, release 3');
    expect(markdown).toContain('- It moves together.');
    expect(markdown).toContain('May \\| \\<b\\>morning\\</b\\>');
    expect(markdown).not.toMatch(/(?<!\\)<b/);
    for (const heading of ['What it reads', 'Data', 'Quality', 'Variants', 'Compression contract', 'Limits']) {
      expect(markdown).toContain(`\n## ${heading}\n`);
    }
    const tables = markdown.split('\n\n').filter((block) => block.startsWith('|'));
    expect(tables.length).toBeGreaterThan(4);
    for (const block of tables) {
      const widths = block.split('\n').map((line) => line.replaceAll('\\|', '').split('|').length);
      expect(new Set(widths).size).toBe(1);
    }
    expect(markdown).toMatch(/\| int8 \| 0\.\d{3} \| -?0\.\d{3} \| \d+\.\d % \|/);
  });

  it('lists refused variants', () => {
    const [fp32, int8] = card.variants;
    const message = 'int8: VUS-PR is 0.2000 below that of fp32, at most 0.0100 is allowed.';
    const refused = {
      ...int8!,
      offered: false,
      refusals: [{ rule: 'vus-pr-loss' as const, value: 0.2, limit: 0.01, message }],
    };
    const markdown = cardToMarkdown({ ...card, variants: [fp32!, refused] });
    expect(markdown).toContain(`Not offered to devices, kept to look at:\n\n- ${message}`);
  });
});
