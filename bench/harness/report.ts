import type { Measure } from './bench.ts';

const COLUMNS = ['metric', 'value', 'floor/peer', 'ratio', 'goal', 'ok'] as const;

/** The measures as a table of text; figures are aligned at the right. */
export function tableOf(measures: readonly Measure[]): string {
  const rows = [COLUMNS, ...measures.map(cellsOf)];
  const widths = COLUMNS.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) =>
        column === 0 || column > 3 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!),
      )
      .join('  ')
      .trimEnd(),
  );
  const rule = widths.map((width) => '-'.repeat(width)).join('  ');
  return [lines[0], rule, ...lines.slice(1)].join('\n');
}

export function pairsOf(pairs: object): string {
  return Object.entries(pairs)
    .map(([name, value]) => `${name} ${String(value)}`)
    .join(', ');
}

function cellsOf(measure: Measure): string[] {
  const { metric, value, unit, peer, ratio, goal, ok } = measure;
  return [
    metric,
    `${figure(value)} ${unit}`.trimEnd(),
    peer === undefined ? '' : `${figure(peer.value)} ${peer.name}`,
    ratio === undefined ? '' : ratio.toFixed(2),
    goal ?? '',
    ok === undefined ? '' : ok ? 'yes' : 'NO',
  ];
}

function figure(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString('en-US', { maximumFractionDigits: Number.isInteger(value) ? 0 : digits });
}
