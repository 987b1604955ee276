/** Plain text tables for terminals. */

const MAX_CELL = 60;
/** Enough of a SHA-256 to tell two apart; `--json` has all of it. */
const DIGEST = /^[0-9a-f]{64}$/;
const SHOWN_DIGITS = 12;

/** Rows of objects as an aligned table. Columns that hold objects or are empty everywhere are left out. */
export function formatRows(rows: readonly Record<string, unknown>[]): string {
  if (rows.length === 0) return '(none)';
  const columns = Object.keys(rows[0]!).filter((key) => rows.some((row) => isShown(row[key])));
  return formatTable(
    columns,
    rows.map((row) => columns.map((column, i) => cell(row[column], i === 0))),
  );
}

export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((text, i) => text.padEnd(widths[i]!))
      .join('  ')
      .trimEnd();
  return [line(header), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}

/** One object as `name  value` lines; what is nested is shown as JSON. */
export function formatObject(value: Record<string, unknown>): string {
  const entries = Object.entries(value);
  const width = Math.max(...entries.map(([name]) => name.length));
  return entries
    .map(
      ([name, item]) =>
        `${name.padEnd(width)}  ${typeof item === 'object' && item !== null ? JSON.stringify(item) : String(item ?? '-')}`,
    )
    .join('\n');
}

function isShown(value: unknown): boolean {
  return value !== undefined && value !== null && (typeof value !== 'object' || Array.isArray(value));
}

/** @param isName of the row: shown whole, for it is what the next command wants */
function cell(value: unknown, isName: boolean): string {
  if (typeof value === 'number') return String(Number.isInteger(value) ? value : Number(value.toPrecision(6)));
  if (typeof value === 'string') {
    if (isName) return value;
    if (DIGEST.test(value)) return `${value.slice(0, SHOWN_DIGITS)}…`;
  }
  const text = Array.isArray(value) ? value.map(itemText).join(',') : String(value ?? '-');
  return text.length > MAX_CELL ? `${text.slice(0, MAX_CELL - 1)}…` : text;
}

/** What has a name is known by it. */
function itemText(item: unknown): string {
  if (typeof item !== 'object' || item === null) return String(item);
  return 'name' in item && typeof item.name === 'string' ? item.name : JSON.stringify(item);
}
