import { float32, nodeProto } from '@drover/onnx';
import type { ValidModel } from '@drover/onnx';
import type { TrainedDetector } from '../detector.ts';
import { InvalidTrainingOptionsError } from '../errors.ts';

/**
 * The detector with its score divided by its alarm threshold, so that 1 is an alarm and several detectors can be compared.
 *
 * @throws InvalidTrainingOptionsError for a detector that does not decide by a threshold
 */
export function normalised(detector: TrainedDetector): TrainedDetector {
  const { policy } = detector;
  if (policy.kind !== 'threshold') {
    throw new InvalidTrainingOptionsError(`"${detector.family}" does not decide by a threshold.`);
  }
  return {
    ...detector,
    graph: withScoreTimes(detector.graph, 1 / policy.threshold),
    policy: { ...policy, threshold: 1 },
  };
}

const RAW_SCORE = 'score.raw';
const FACTOR = 'score.factor';

function withScoreTimes(model: ValidModel, factor: number): ValidModel {
  const { graph } = model;
  const raw = (name: string): string => (name === 'score' ? RAW_SCORE : name);
  return {
    ...model,
    graph: {
      ...graph,
      node: [
        ...graph.node.map((node) => ({ ...node, input: node.input.map(raw), output: node.output.map(raw) })),
        nodeProto('Mul', [RAW_SCORE, FACTOR], ['score']),
      ],
      initializer: [...graph.initializer, { ...float32(factor), name: FACTOR }],
    },
  };
}
