"""The exported relation head gives the predictor's own scores, for any number of objects and pairs."""

import numpy as np
import pytest
import torch
from support import HEAD, fill

from maskrcnn_benchmark.modeling.export import INPUTS, ExportedRelationHead, export_onnx, export_program
from maskrcnn_benchmark.utils.errors import InputError

SIZES = ((5, None), (2, None), (13, 4))  # objects, and pairs where not all


def inputs_and_scores(model, scene, objects, pairs, seed):
    """Inputs of the exported head for an image, and the predictor's scores [m, R]."""
    image = scene((objects,), seed=seed)
    if pairs is not None:
        image = image._replace(pairs=[image.pairs[0][:pairs]], union_features=image.union_features[:pairs])
    with torch.no_grad():
        _, (logits,), _ = model(image.proposals, image.pairs, None, None, image.roi_features, image.union_features)
    (proposal,) = image.proposals
    inputs = (
        image.roi_features, image.union_features, proposal.bbox, proposal.get_field("labels"), image.pairs[0],
        torch.tensor(proposal.size, dtype=torch.float32),
    )  # fmt: skip
    return inputs, logits.softmax(dim=1)


@pytest.fixture(params=["MotifPredictor", "RelCLIPPredictor", "RelCLIPPredictor without base"])
def model(request, predictor):
    name, *without = request.param.split(" without ")
    options = {"USE_BASE": False} if without else {}
    return fill(predictor("predcls", name, **options).eval())


def test_onnx(model, scene, tmp_path):
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime (the extra export)")
    pytest.importorskip("onnx", reason="needs onnx (the extra export)")
    export_onnx(model, tmp_path / "head.onnx")
    session = runtime.InferenceSession(str(tmp_path / "head.onnx"))
    assert {one.name for one in session.get_inputs()} == set(INPUTS)
    for seed, (objects, pairs) in enumerate(SIZES):
        inputs, scores = inputs_and_scores(model, scene, objects, pairs, seed)
        (found,) = session.run(None, {name: value.numpy() for name, value in zip(INPUTS, inputs, strict=True)})
        np.testing.assert_allclose(found, scores.numpy(), atol=1e-4)


def test_torch_export(model, scene, tmp_path):
    export_program(model, tmp_path / "head.pt2")
    program = torch.export.load(tmp_path / "head.pt2").module()
    for seed, (objects, pairs) in enumerate(SIZES):
        inputs, scores = inputs_and_scores(model, scene, objects, pairs, seed)
        torch.testing.assert_close(program(*inputs), scores, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "options", [("VCTreePredictor", ""), ("RelCLIPPredictor", "vctree"), ("TransformerPredictor", "")]
)
def test_what_cannot_be_exported_says_so(predictor, options):
    name, context = options
    host = (HEAD + "RELCLIP.CONTEXT", context) if context else ()
    message = (
        "follows a tree that is grown for each image" if "transformer" not in name.lower() else "TransformerContext"
    )
    with pytest.raises(InputError, match=f"cannot be exported: .*{message}"):
        ExportedRelationHead(predictor("predcls", name, host=host), as_operation=False)
