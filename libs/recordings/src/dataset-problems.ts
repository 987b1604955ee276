import type { DatasetProblem, RecordingReport } from './dataset-report.ts';
import type { BadCells, Findings } from './findings.ts';

/** Fewer rows than this are too few for most families to say what is normal. */
const FEW_ROWS = 300;
const MISSING_SHARE = 0.05;
const IRREGULAR_SHARE = 0.1;
const LABEL_SHARE = 0.1;
/** Files whose rates differ by more are not one dataset. */
const RATES_ERROR = 1.25;
const RATES_WARNING = 1.05;
const MOST_NAMES = 8;
/** Of a manifest's signature. */
const MOST_CHANNELS = 256;
const LONGEST_NAME = 64;
/** Of one file: who has more will look at the file anyway. */
const MOST_PROBLEMS = 20;

/** What is wrong with one file. */
export function problemsOf(findings: Findings): DatasetProblem[] {
  const { report } = findings;
  const of = (severity: DatasetProblem['severity'], message: string): DatasetProblem => ({
    severity,
    file: report.name,
    message,
  });
  const problems = [
    ...errorsOf(findings).map((message) => of('error', message)),
    ...(report.rows > 1 ? warningsOf(report).map((message) => of('warning', message)) : []),
  ];
  if (problems.length <= MOST_PROBLEMS) return problems;
  const rest = `${problems.length - MOST_PROBLEMS} more problems of this file are not listed.`;
  return [...problems.slice(0, MOST_PROBLEMS), of(problems[MOST_PROBLEMS]!.severity, rest)];
}

function errorsOf({ report, texts, times, labels, steps, stopped }: Findings): string[] {
  const errors: string[] = [];
  if (stopped !== undefined) errors.push(`${stopped}. Everything after that row was not read: correct the file.`);
  if (report.rows === 0) errors.push('There are no rows, only a header: record some normal operation.');
  if (report.rows === 1)
    errors.push('There is only one row: record some normal operation, a few hundred rows at least.');
  const long = report.channels.filter(({ name }) => name.length > LONGEST_NAME).map(({ name }) => name.slice(0, 20));
  if (long.length > 0) {
    errors.push(
      `Names of channels have at most ${LONGEST_NAME} characters; too long: ${listed(long.map((name) => `${name}…`))}.`,
    );
  }
  if (report.channels.length > MOST_CHANNELS) {
    errors.push(`${report.channels.length} channels; a model has at most ${MOST_CHANNELS}: name those that matter.`);
  }
  for (const bad of texts) {
    errors.push(
      `Column "${bad.column}" holds text where it should hold numbers, ${placesOf(bad)}. Correct these cells (an empty cell is a missing value), or leave the column out by naming the channels.`,
    );
  }
  if (times !== undefined) {
    errors.push(
      `Column "${times.column}" has no time, ${placesOf(times)}. Fill these cells in (like 2026-01-31 08:00:00, or epoch seconds), or take the rows out.`,
    );
  }
  if (labels !== undefined) {
    errors.push(
      `Column "${labels.column}" should hold labels, ${placesOf(labels)}. Write 0 for normal and 1 for anomalous.`,
    );
  }
  if (report.rows > 1 && !steps.given && steps.medianMs === null && times === undefined) {
    errors.push('The times never move forward: correct them, or take the column out and give the rate.');
  }
  return errors;
}

function warningsOf(report: RecordingReport): string[] {
  const { rows, channels, gaps, labelShare } = report;
  const warnings: string[] = [];
  const constant = channels.filter((channel) => channel.constant).map(({ name }) => name);
  if (constant.length > 0) {
    warnings.push(`Never changes, so a model cannot tell what is abnormal there: ${listed(constant)}.`);
  }
  const gappy = channels.filter(({ missing, min }) => min !== null && missing > MISSING_SHARE * rows);
  if (gappy.length > 0) {
    const list = gappy.map(({ name, missing }) => `${name} (${percent(missing / rows)})`);
    warnings.push(`Values are missing in ${listed(list)}: the last one is held, and after a gap windows start anew.`);
  }
  warnings.push(...timeWarningsOf(report));
  if (gaps.count > 0) {
    warnings.push(
      `${counts(gaps.count, 'gap')} in time, the longest ${seconds(gaps.longestMs)}: after a long one, windows start anew.`,
    );
  }
  if (labelShare !== null && labelShare > LABEL_SHARE) {
    warnings.push(
      `${percent(labelShare)} of the rows are labelled anomalous: to train, normal operation is better (or train on the first rows only). Labels are never trained on.`,
    );
  }
  return warnings;
}

function timeWarningsOf({ rows, duplicateTimes, backwardTimes, irregularShare }: RecordingReport): string[] {
  const warnings: string[] = [];
  if (duplicateTimes > 0) {
    const often = duplicateTimes * 2 > rows;
    warnings.push(
      `${counts(duplicateTimes, 'row')} with the time of the row before: taken as the next sample.${
        often
          ? ' That is most of them: write the times with more digits, or take the column out and give the rate.'
          : ''
      }`,
    );
  }
  if (backwardTimes > 0) {
    warnings.push(
      `${counts(backwardTimes, 'step')} backward in time: rows are taken in the order of the file; sort them by time if that is wrong.`,
    );
  }
  if (irregularShare > IRREGULAR_SHARE) {
    warnings.push(
      `${percent(irregularShare)} of the steps in time differ from the median by more than a tenth: rows are taken as samples at the median rate.`,
    );
  }
  return warnings;
}

/** What is wrong with files of one dataset taken together. */
export function problemsBetween(found: readonly Findings[]): DatasetProblem[] {
  if (found.length === 0) return [];
  return [...channelProblems(found), ...rateProblems(found), ...emptyChannels(found), ...sizeProblems(found)];
}

function channelProblems(found: readonly Findings[]): DatasetProblem[] {
  const first = found[0]!.report;
  const wanted = first.channels.map(({ name }) => name);
  return found.slice(1).flatMap(({ report }): DatasetProblem[] => {
    const names = report.channels.map(({ name }) => name);
    const missing = wanted.filter((name) => !names.includes(name));
    const added = names.filter((name) => !wanted.includes(name));
    if (missing.length === 0 && added.length === 0) {
      if (names.join('\n') === wanted.join('\n')) return [];
      const message = `The channels are those of "${first.name}" in another order: name the channels, and every file is read in that order.`;
      return [{ severity: 'error', file: report.name, message }];
    }
    const parts = [
      ...(missing.length === 0 ? [] : [`${listed(missing)} of "${first.name}" missing here`]),
      ...(added.length === 0 ? [] : [`${listed(added)} not in "${first.name}"`]),
    ];
    const message = `The channels differ: ${parts.join('; ')}. Name the channels that all files have, or make two datasets.`;
    return [{ severity: 'error', file: report.name, message }];
  });
}

function rateProblems(found: readonly Findings[]): DatasetProblem[] {
  const rated = found.filter(({ report }) => report.rateHz !== null);
  if (rated.length < 2) return [];
  const byRate = rated.toSorted((a, b) => a.report.rateHz! - b.report.rateHz!);
  const slowest = byRate[0]!.report;
  const fastest = byRate.at(-1)!.report;
  const ratio = fastest.rateHz! / slowest.rateHz!;
  if (ratio <= RATES_WARNING) return [];
  const what = `"${slowest.name}" has ${hertz(slowest.rateHz!)} and "${fastest.name}" ${hertz(fastest.rateHz!)}`;
  return ratio > RATES_ERROR
    ? [
        {
          severity: 'error',
          file: null,
          message: `The files have different rates: ${what}. Bring them to one rate, or make one dataset for each.`,
        },
      ]
    : [
        {
          severity: 'warning',
          file: null,
          message: `The rates differ a little: ${what}. The median is taken for all.`,
        },
      ];
}

function emptyChannels(found: readonly Findings[]): DatasetProblem[] {
  return found.flatMap(({ report }): DatasetProblem[] => {
    const empty = report.rows < 2 ? [] : report.channels.filter(({ min }) => min === null).map(({ name }) => name);
    if (empty.length === 0) return [];
    const nowhere = empty.filter((name) =>
      found.every((other) => other.report.channels.find((channel) => channel.name === name)?.min === null),
    );
    if (nowhere.length === 0) {
      const message = `No value at all in ${listed(empty)}: this file gives no windows. Leave the file or these channels out.`;
      return [{ severity: 'warning', file: report.name, message }];
    }
    const message = `No value at all in ${listed(nowhere)}: leave it out by naming the other channels.`;
    return [{ severity: 'error', file: report.name, message }];
  });
}

function sizeProblems(found: readonly Findings[]): DatasetProblem[] {
  const rows = found.reduce((sum, { report }) => sum + report.rows, 0);
  if (rows >= FEW_ROWS || rows < 2) return [];
  const message = `Only ${rows} rows in all: what is normal needs a few hundred at least, better some thousand.`;
  return [{ severity: 'warning', file: null, message }];
}

function placesOf({ count, firstRow, text }: BadCells): string {
  const shown = text === '' ? 'empty' : `"${text}"`;
  return count === 1 ? `row ${firstRow} (${shown})` : `${count} rows, the first is row ${firstRow} (${shown})`;
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, MOST_NAMES).join(', ');
  return names.length > MOST_NAMES ? `${shown} and ${names.length - MOST_NAMES} more` : shown;
}

function counts(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
}

function seconds(ms: number): string {
  return `${Number((ms / 1_000).toPrecision(4))} s`;
}

function hertz(rateHz: number): string {
  return `${Number(rateHz.toPrecision(3))} Hz`;
}
