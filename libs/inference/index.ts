export type { BenchmarkOptions, BenchmarkReport } from './src/benchmark.ts';
export { benchmarkSession, quantilesOf } from './src/benchmark.ts';
export type { PathFault, PathListener } from './src/decision-stage.ts';
export { DetectionPath } from './src/detection-path.ts';
export type { PathCounters, PathOptions, PathState } from './src/detection-path.ts';
export { checkContract } from './src/detector-contract.ts';
export type { DetectorContract } from './src/detector-contract.ts';
export { DetectorSession } from './src/detector-session.ts';
export type { ChannelCalibration, DetectorSessionOptions, DetectorState } from './src/detector-session.ts';
export {
  DetectorContractError,
  DetectorExistsError,
  DetectorInUseError,
  GoldenMismatchError,
  InferenceWorkerFailedError,
  InferenceWorkerLostError,
  InvalidGraphError,
  ModelDamagedError,
  ModelSizeError,
  PipelineExistsError,
  RuntimeUnavailableError,
  SignatureMismatchError,
  UnknownDetectorError,
  UnknownPipelineError,
} from './src/errors.ts';
export { checkGolden, decodeFloats } from './src/golden-check.ts';
export type { GoldenReport, GoldenVectors } from './src/golden-check.ts';
export type { HostedPipelineOptions } from './src/hosted-pipeline.ts';
export { InferenceHost } from './src/inference-host.ts';
export type { AnomalyNews, FaultNews, InferenceHostOptions, InferenceListener } from './src/inference-host.ts';
export { unpackModel } from './src/model-file.ts';
export type { ModelEncoding } from './src/model-file.ts';
export { DEFAULT_RUNTIME_PACKAGE, loadOnnxRuntime } from './src/onnx-runtime.ts';
export type { OnnxRuntime } from './src/onnx-runtime.ts';
export { openSession } from './src/open-session.ts';
export type { OpenedSession, ProviderFailure, SessionTuning } from './src/open-session.ts';
export { openReplaySession, replay, Replay, REPLAY_BATCH } from './src/replay.ts';
export type { ReplayOptions, ReplayRow, ReplaySource, ReplayTable, VisitDecision } from './src/replay.ts';
export type {
  Activation,
  DetectorSpec,
  PipelineSetup,
  PipelineSnapshot,
  PipelineStats,
  PreparedDetector,
  ProviderProbe,
  ScoreSummary,
} from './src/worker-messages.ts';
