"""Checks ONNX files with the reference library (Debian: python3-onnx). One JSON object per file, in the order given.

Without files: the newest operator set and IR version that this library knows.
"""

import json
import sys

import onnx
from onnx import checker, shape_inference


def check(path):
    model = onnx.load(path)
    domains = [opset.domain for opset in model.opset_import]
    # Operators of other domains are not known to the checker, which then looks at names, order and types only.
    checker.check_model(model, full_check=True)
    foreign = sorted({node.domain for node in model.graph.node if node.domain not in ("", "ai.onnx")})
    inferred = None
    if not foreign:
        result = shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        named = {value.name for value in [*result.graph.value_info, *result.graph.output]}
        made = [name for node in model.graph.node for name in node.output if name]
        inferred = sum(name in named for name in made) / max(1, len(made))
    return {"domains": domains, "foreign": foreign, "inferred": inferred}


def main(paths):
    if not paths:
        return [{"opset": onnx.defs.onnx_opset_version(), "ir": onnx.IR_VERSION, "version": onnx.__version__}]
    results = []
    for path in paths:
        try:
            results.append({"ok": True, **check(path)})
        except Exception as error:  # Whatever is wrong with one file, the others are checked.
            results.append({"ok": False, "error": str(error)})
    return results


for line in main(sys.argv[1:]):
    print(json.dumps(line))
