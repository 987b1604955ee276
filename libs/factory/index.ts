export { combineDetectors, combineGraphs } from './src/combine-graphs.ts';
export type { GraphPart } from './src/combine-graphs.ts';
export type { Family, TrainedDetector, TrainingContext, TrainingData } from './src/detector.ts';
export { scoreWindows } from './src/detector-session.ts';
export type { DetectorOutputs, DetectorShape } from './src/detector-session.ts';
export * from './src/errors.ts';
export { injectRecordingFaults, RECORDING_FAULT_KINDS } from './src/evaluation/recording-faults.ts';
export type {
  FaultyRecording,
  RecordingFault,
  RecordingFaultKind,
  RecordingFaultOptions,
} from './src/evaluation/recording-faults.ts';
export { alarmsOf, countsOf, firstCountedRow, replayPolicy } from './src/evaluation/replay.ts';
export type { EvaluationRecording, Replay } from './src/evaluation/replay.ts';
export { scoreRecording } from './src/evaluation/score-recording.ts';
export type { RecordingScores } from './src/evaluation/score-recording.ts';
export { FAULT_KINDS, injectFaults } from './src/evaluation/synthetic-faults.ts';
export { FAMILIES, trainFamily } from './src/families.ts';
export type { FamilySpec } from './src/families.ts';
export { DEFAULT_PCA_OPTIONS, largestPcaWindow, MAX_PCA_DIMENSIONS, trainPca } from './src/pca/train-pca.ts';
export type { PcaOptions } from './src/pca/train-pca.ts';
export { quantizeInt8 } from './src/compression/quantize-int8.ts';
export type { Int8Report } from './src/compression/quantize-int8.ts';
export { buildRelease, manifestDraftSchema } from './src/release/build-release.ts';
export type {
  BuildOptions,
  BuildProgress,
  BuildReport,
  BuiltRelease,
  ManifestDraft,
} from './src/release/build-release.ts';
export type { Artifact, VariantReport } from './src/release/describe-variant.ts';
export { floatsToBase64 } from './src/release/golden-vectors.ts';
export type { VariantPrecision } from './src/release/make-variants.ts';
export { inspectOptimised } from './src/compression/inspect-optimised.ts';
export type { OptimisedGraphReport } from './src/compression/inspect-optimised.ts';
export { recordingRows, windowsOf } from './src/window-set.ts';
export type { Recording, WindowRows, WindowSet, WindowShape } from './src/window-set.ts';
