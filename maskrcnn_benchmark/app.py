"""A web page on this computer: upload or pick an image, choose the names, look at the scene graph."""

from __future__ import annotations

import html
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from maskrcnn_benchmark.api import InputError, SceneGraph, SceneGraphModel
from maskrcnn_benchmark.engine.scene_predictor import list_images

if TYPE_CHECKING:
    import gradio

EXAMPLES = 24  # images to pick from


def build_app(model: SceneGraphModel, examples: Sequence[str] = ()) -> gradio.Blocks:
    """The app of a model; `.launch()` serves it.

    Args:
        examples: image files to pick from.

    Raises:
        InputError: gradio is not installed.
    """
    try:
        import gradio
    except ImportError:
        raise InputError("the app needs gradio: pip install 'relclip-sgb[app]'") from None
    one_at_a_time = threading.Lock()  # the names are the model's: nobody else's between choosing and predicting

    def predict(path: str | None, predicates: str, objects: str) -> str:
        if not path:
            return "<p>Choose an image.</p>"
        try:
            with one_at_a_time:
                model.set_vocabulary(names(predicates), names(objects))
                graph = model(path)
            return frame(graph, Path(path).name)
        except ValueError as error:  # InputError, and that of the plugin
            if not getattr(error, "user_input", False):
                raise
            return f'<p role="alert">{html.escape(str(error).replace(str(Path(path).parent) + "/", ""))}</p>'

    with gradio.Blocks(title="Scene graphs", analytics_enabled=False) as app:
        gradio.Markdown("# Scene graphs")
        with gradio.Row():
            image = gradio.File(label="image", type="filepath", file_count="single", elem_id="image")
            with gradio.Column():
                predicates = gradio.Textbox(
                    label="predicates", info="with commas; empty: those of the training", elem_id="predicates",
                    placeholder=", ".join(model.predicates[:8]), lines=2,
                )  # fmt: skip
                objects = gradio.Textbox(
                    label="object classes", info="with commas; empty: those of the training", elem_id="objects",
                    placeholder=", ".join(model.classes[:8]), lines=2,
                )  # fmt: skip
                go = gradio.Button("Scene graph", variant="primary", elem_id="go")
        shown = gradio.HTML(elem_id="graph")
        if examples:
            gradio.Examples([[str(path)] for path in examples], [image], cache_examples=False)
        inputs = [image, predicates, objects]
        go.click(predict, inputs, shown, api_name="predict")
        image.upload(predict, inputs, shown, api_name=False)
    return app


def names(text: str) -> list[str] | None:
    """Names between commas or line ends; None where there are none.

    >>> names("riding, in front of"), names(" ")
    (['riding', 'in front of'], None)
    """
    found = [" ".join(name.split()) for name in text.replace("\n", ",").split(",")]
    return [name for name in found if name] or None


def frame(graph: SceneGraph, title: str) -> str:
    """The page of a graph in a frame of its own, whose script and style do not meet those around it."""
    return (
        f'<iframe title="scene graph" sandbox="allow-scripts" style="width:100%;height:760px;border:0" '
        f'srcdoc="{html.escape(graph.best(top_k=100).html(title=title))}"></iframe>'
    )


def load_app(source: str, images: str | None = None, device: str | None = None) -> gradio.Blocks:
    """The app of a trained model.

    Args:
        source: as `SceneGraphModel.from_pretrained` takes it.
        images: folder of images to pick from.

    Raises:
        InputError: no such model or folder.
    """
    model = SceneGraphModel.from_pretrained(source, device=device)
    examples: list[str] = []
    if images is not None:
        examples = [str(path) for path in list(list_images([images]).values())[:EXAMPLES]]
    return build_app(model, examples)
