import type { Cost, Metrics, ModelCard } from '@drover/contracts';

type Variant = ModelCard['variants'][number];

/** A model card for people: Markdown with tables, no HTML. */
export function cardToMarkdown(card: ModelCard): string {
  const { model, release, family, signature, data, limits, choice, createdAt, seed } = card;
  const title = model === null ? `Model card: ${family}` : `${model.name}, release ${release?.version ?? '?'}`;
  return `${[
    `# ${text(title)}`,
    `Family \`${family}\`, made ${createdAt}, seed ${seed}.`,
    ...(choice.length === 0 ? [] : ['## Why this family', list(choice)]),
    '## What it reads',
    `Windows of ${plural(signature.window, 'sample')} at ${number(signature.rateHz)} Hz, one every ${plural(signature.stride, 'sample')}; a gap ` +
      `of more than ${duration(signature.maxGapMs)} starts it anew. ${warmUp(signature.warmup)}`,
    table(
      ['channel', 'unit', 'kind'],
      signature.channels.map(({ name, unit, kind }) => [text(name), text(unit ?? ''), kind]),
    ),
    '## Data',
    `${plural(data.trainingWindows, 'window')}; ${data.setAside} looked abnormal and were set aside.`,
    ...recordings(data),
    '## Quality',
    qualityTable(card.variants),
    '## Variants',
    variantTable(card.variants),
    ...refusals(card.variants),
    '## Compression contract',
    table(
      ['kind', 'largest loss of VUS-PR', 'least agreement'],
      Object.entries(card.contract).map(([kind, { maxVusPrLoss, minAgreement }]) => [
        kind,
        String(maxVusPrLoss),
        minAgreement === undefined ? '' : percent(minAgreement),
      ]),
    ),
    ...(Object.keys(card.hyperparameters).length === 0
      ? []
      : [
          '## Hyperparameters',
          table(
            ['name', 'value'],
            Object.entries(card.hyperparameters).map(([name, value]) => [text(name), text(JSON.stringify(value))]),
          ),
        ]),
    '## Limits',
    limits.length === 0 ? 'None are known.' : list(limits),
  ].join('\n\n')}\n`;
}

function recordings({ trainedOn, evaluatedOn }: ModelCard['data']): string[] {
  const rows = [
    ...trainedOn.map((item) => ['trained on', text(item.name), String(item.rows), '', short(item.digest)]),
    ...evaluatedOn.map((item) => [
      'measured on',
      text(item.name),
      String(item.rows),
      percent(item.labelledShare),
      short(item.digest),
    ]),
  ];
  return rows.length === 0 ? [] : [table(['used', 'recording', 'rows', 'labelled', 'digest'], rows)];
}

const QUALITY: readonly (readonly [title: string, value: (metrics: Metrics) => string])[] = [
  ['VUS-PR', ({ vusPr }) => share(vusPr)],
  ['loss', ({ vusPrLoss }) => share(vusPrLoss)],
  ['agreement', ({ agreement }) => (agreement === undefined ? '' : percent(agreement))],
  ['F1', ({ f1 }) => share(f1)],
  ['FAR', ({ far }) => (far === undefined ? '' : percent(far))],
  ['MAR', ({ mar }) => (mar === undefined ? '' : percent(mar))],
  ['event P', ({ eventPrecision }) => share(eventPrecision)],
  ['event R', ({ eventRecall }) => share(eventRecall)],
  ['event F1', ({ eventF1 }) => share(eventF1)],
  ['delay', ({ detectionDelayMs }) => (detectionDelayMs === undefined ? '' : duration(detectionDelayMs))],
  ['false alarms a day', ({ falseAlarmsPerDay }) => (falseAlarmsPerDay === undefined ? '' : number(falseAlarmsPerDay))],
];

function qualityTable(variants: readonly Variant[]): string {
  const measuredOn = variants[0]?.metrics.measuredOn;
  const source =
    measuredOn === undefined
      ? 'Not measured.'
      : measuredOn === 'labelled'
        ? 'On labelled recordings, pooled.'
        : 'On held-out normal operation with synthetic faults.';
  return `${source}\n\n${table(
    ['variant', ...QUALITY.map(([title]) => title)],
    variants.map(({ name, metrics }) => [name, ...QUALITY.map(([, value]) => value(metrics))]),
  )}`;
}

function variantTable(variants: readonly Variant[]): string {
  return table(
    [
      'variant',
      'precision',
      'size class',
      'bytes sent',
      'parameters',
      'multiply-adds',
      'peak memory',
      'not fused',
      'offered',
    ],
    variants.map(({ name, precision, size, sizeBytes, cost, optimised, offered }) => [
      name,
      precision,
      size,
      bytes(sizeBytes),
      ...costCells(cost),
      String(optimised.leftoverDequantize.length),
      offered ? 'yes' : 'no',
    ]),
  );
}

function costCells({ parameters, multiplyAccumulates, peakMemoryBytes }: Cost): string[] {
  return [number(parameters), number(multiplyAccumulates), bytes(peakMemoryBytes)];
}

function refusals(variants: readonly Variant[]): string[] {
  const messages = variants.flatMap((variant) => variant.refusals.map(({ message }) => message));
  return messages.length === 0 ? [] : ['Not offered to devices, kept to look at:', list(messages)];
}

function warmUp(windows: number): string {
  return windows === 0
    ? 'It answers from the first whole window on.'
    : `Silent for the first ${plural(windows, 'window')}.`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function list(sentences: readonly string[]): string {
  return sentences.map((sentence) => `- ${text(sentence)}`).join('\n');
}

/** Text of others as Markdown shows it: no table, markup or HTML comes of it. */
function text(value: string): string {
  return value.replaceAll(/[\r\n]+/g, ' ').replaceAll(/[\\`*_[\]<>|#]/g, '\\$&');
}

function share(value: number | undefined): string {
  return value === undefined ? '' : value.toFixed(3);
}

function percent(value: number): string {
  return `${(100 * value).toFixed(1)} %`;
}

function number(value: number): string {
  return value.toLocaleString('en-GB', {
    maximumSignificantDigits: Math.max(4, Math.ceil(Math.log10(Math.abs(value) + 1))),
  });
}

function bytes(value: number): string {
  return value < 1_024
    ? `${value} B`
    : value < 2 ** 20
      ? `${number(value / 1_024)} kB`
      : `${number(value / 2 ** 20)} MB`;
}

const DURATIONS = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1_000, 's'],
] as const;

function duration(ms: number): string {
  const [size, unit] = DURATIONS.find(([from]) => ms >= 2 * from) ?? [1, 'ms'];
  return `${number(ms / size)} ${unit}`;
}

function plural(count: number, what: string): string {
  return `${number(count)} ${what}${count === 1 ? '' : 's'}`;
}

function short(digest: string | null): string {
  return digest === null ? '' : digest.slice(0, 12);
}
