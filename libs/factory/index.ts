export { DEFAULT_ADAPTIVE_OPTIONS } from './src/adaptive/train-adaptive.ts';
export type { AdaptiveOptions } from './src/adaptive/train-adaptive.ts';
export { DEFAULT_AUTO_OPTIONS } from './src/auto/train-auto.ts';
export type { AutoOptions } from './src/auto/train-auto.ts';
export { DEFAULT_MAHALANOBIS_OPTIONS } from './src/mahalanobis/train-mahalanobis.ts';
export type { MahalanobisOptions } from './src/mahalanobis/train-mahalanobis.ts';
export { DEFAULT_VAR_OPTIONS } from './src/var/train-var.ts';
export type { VarOptions } from './src/var/train-var.ts';
export { trainOnFirstRows } from './src/backtest/backtest-detector.ts';
export type { BacktestDetector, BacktestTraining } from './src/backtest/backtest-detector.ts';
export { backtestFile } from './src/backtest/backtest-file.ts';
export type { BacktestFileHeader, FileBacktest, FileBacktestResult, TrainRows } from './src/backtest/backtest-file.ts';
export { backtestQuality } from './src/backtest/backtest-quality.ts';
export type { MeasuredBacktest } from './src/backtest/backtest-quality.ts';
export { CollectedScores } from './src/backtest/collected-scores.ts';
export { runBacktest } from './src/backtest/run-backtest.ts';
export type { BacktestOptions, BacktestRow, BacktestRun, BacktestSink } from './src/backtest/run-backtest.ts';
export { samplingOfRows } from './src/backtest/sampling-rule.ts';
export { samplingOf } from './src/release/signature-of.ts';
export type { Sampling } from './src/release/signature-of.ts';
export type { RowSampling } from './src/backtest/sampling-rule.ts';
export { ScoreLines } from './src/backtest/score-lines.ts';
export type { ScoredRow } from './src/backtest/score-lines.ts';
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
export { scoreRecording, scoreRecordings } from './src/evaluation/score-recording.ts';
export type { RecordingScores } from './src/evaluation/score-recording.ts';
export { FAULT_KINDS, injectFaults } from './src/evaluation/synthetic-faults.ts';
export { FAMILIES, trainFamily } from './src/families.ts';
export type { FamilySpec } from './src/families.ts';
export type { Layer, Network, NetworkTraining } from './src/network.ts';
export { conv, DEFAULT_CONV_OPTIONS } from './src/neural/conv.ts';
export type { ConvOptions } from './src/neural/conv.ts';
export { DEFAULT_DENSE_AE_OPTIONS, denseAe } from './src/neural/dense-ae.ts';
export type { DenseAeOptions } from './src/neural/dense-ae.ts';
export { distil } from './src/neural/distil.ts';
export type { Distilled } from './src/neural/distil.ts';
export { TrainingDivergedError } from './src/neural/fit-network.ts';
export { NetworkEngine } from './src/neural/network-engine.ts';
export type { NeuralOptions } from './src/neural/neural-options.ts';
export { pruneStructured } from './src/neural/prune-structured.ts';
export { DEFAULT_PCA_OPTIONS, largestPcaWindow, MAX_PCA_DIMENSIONS, trainPca } from './src/pca/train-pca.ts';
export type { PcaOptions } from './src/pca/train-pca.ts';
export { quantizeInt4 } from './src/compression/quantize-int4.ts';
export type { Int4Options } from './src/compression/quantize-int4.ts';
export { quantizeInt8Dynamic } from './src/compression/quantize-int8-dynamic.ts';
export { quantizeInt8 } from './src/compression/quantize-int8.ts';
export type { Int8Options, Int8Report } from './src/compression/quantize-int8.ts';
export { sparsify, sparsifyFitted } from './src/compression/sparsify.ts';
export { toFp16 } from './src/compression/to-fp16.ts';
export { buildRelease } from './src/release/build-release.ts';
export { cardToMarkdown } from './src/release/card-markdown.ts';
export { refusalsOf, termOf } from './src/release/contract.ts';
export type { Artifact, VariantReport } from './src/release/describe-variant.ts';
export { floatsToBase64 } from './src/release/golden-vectors.ts';
export { BUILD_PHASES, manifestDraftSchema } from './src/release/release-options.ts';
export type {
  BuildOptions,
  BuildPhase,
  BuildProgress,
  BuildReport,
  BuiltRelease,
  ImportSource,
  ManifestDraft,
  NamedEvaluation,
  NamedRecording,
  ReleaseSource,
  TrainSource,
} from './src/release/release-options.ts';
export { costOf } from './src/compression/cost-of.ts';
export type { Cost } from './src/compression/cost-of.ts';
export { encodeArtifact } from './src/compression/encode-artifact.ts';
export type { EncodedArtifact } from './src/compression/encode-artifact.ts';
export { inspectOptimised } from './src/compression/inspect-optimised.ts';
export type { OptimisedGraphReport } from './src/compression/inspect-optimised.ts';
export { recordingRows, windowsOf } from './src/window-set.ts';
export type { Recording, WindowRows, WindowSet, WindowShape } from './src/window-set.ts';
export { combineTailPolicies, series, SERIES_THRESHOLD } from './src/shape/train-series.ts';
export type { SeriesOptions } from './src/shape/train-series.ts';
export { priorOf, TAIL_DEFAULTS } from './src/shape/tail-prior.ts';
export type { TailPrior } from './src/shape/tail-prior.ts';
export { DEFAULT_SHAPE_OPTIONS, shape } from './src/shape/train-shape.ts';
export type { ShapeOptions } from './src/shape/train-shape.ts';
export { DEFAULT_VALUE_OPTIONS, value } from './src/value/train-value.ts';
export type { ValueOptions } from './src/value/train-value.ts';
