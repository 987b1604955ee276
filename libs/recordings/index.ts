export * from './src/bundled.ts';
export { parseTime } from './src/cells.ts';
export * from './src/errors.ts';
export * from './src/find-recordings.ts';
export { findLabelWindows, isInWindows } from './src/label-windows.ts';
export type { LabelWindow } from './src/label-windows.ts';
export * from './src/load-recording.ts';
export * from './src/read-recording.ts';
