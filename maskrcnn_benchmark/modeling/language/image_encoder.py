"""Frozen image towers of the CLIPs whose text towers text_encoder.py loads.

n pictures of S x S pixels, d width of the embedding.
"""

from __future__ import annotations

from typing import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .errors import LanguageError
from .text_encoder import EncoderSpec, load_clip_state, load_open_clip_model

# Mean and deviation of colours that OpenAI's preprocessing takes off.
IMAGE_MEAN = (0.48145466, 0.4578275, 0.40821073)
IMAGE_STD = (0.26862954, 0.26130258, 0.27577711)


def normalise_pictures(
    pictures: Tensor, mean: Sequence[float] = IMAGE_MEAN, std: Sequence[float] = IMAGE_STD
) -> Tensor:
    """uint8 [n, S, S, 3] -> float [n, 3, S, S] as an image tower takes it."""
    middle, deviation = (pictures.new_tensor(values, dtype=torch.float32) for values in (mean, std))
    return ((pictures.float() / 255 - middle) / deviation).permute(0, 3, 1, 2)


class ImageEncoder:
    """Pictures to unit vectors.

    Args:
        tower: float [n, 3, S, S] -> [n, d].
        resolution: S.
        mean, std: of the colours, each channel.
        scale: what CLIP learnt to multiply cosines by; softmax over captions of scale * cosine is its probability.
        device: where the tower is.
    """

    def __init__(
        self,
        tower: nn.Module,
        resolution: int,
        mean: Sequence[float],
        std: Sequence[float],
        scale: float,
        device: torch.device,
    ):
        self.tower = tower.to(device).eval().requires_grad_(False)
        self.resolution = resolution
        self.mean, self.std = tuple(mean), tuple(std)
        self.scale = scale
        self.device = device

    @torch.no_grad()
    def embed(self, pixels: Tensor) -> Tensor:
        """L2-normalised embeddings, float32 [n, d], of normalised pictures [n, 3, S, S] on the tower's device."""
        return F.normalize(self.tower(pixels).float(), dim=-1)


def load_image_encoder(spec: EncoderSpec, device: torch.device) -> ImageEncoder:
    """Load the image tower of a CLIP.

    Raises:
        LanguageError: library not installed, weights not found, not downloadable or without an image tower.
    """
    with torch.random.fork_rng(devices=[]):  # building a tower draws weights that the loaded ones replace
        return (_load_clip if spec.library == "clip" else _load_open_clip)(spec, device)


def _load_clip(spec: EncoderSpec, device: torch.device) -> ImageEncoder:
    _, state = load_clip_state(spec)
    if "visual.proj" not in state and "visual.attnpool.c_proj.weight" not in state:
        raise LanguageError(f"{spec.name}: these are no weights of a CLIP model: there is no image tower (visual.*)")
    from clip.model import build_model  # load_clip_state has seen that it is installed

    try:
        visual = build_model(dict(state)).visual.float()
    except (KeyError, RuntimeError, ValueError) as error:
        raise LanguageError(f"{spec.name}: these are no weights of a CLIP model ({error})") from error
    prefix = "visual."  # loaded once more, because build_model rounds to half precision
    visual.load_state_dict({k[len(prefix) :]: v.float() for k, v in state.items() if k.startswith(prefix)})
    scale = float(state["logit_scale"].float().exp())
    return ImageEncoder(visual, visual.input_resolution, IMAGE_MEAN, IMAGE_STD, scale, device)


def _load_open_clip(spec: EncoderSpec, device: torch.device) -> ImageEncoder:
    model, _ = load_open_clip_model(spec)
    visual = model.visual
    size = visual.image_size
    resolution = size[0] if isinstance(size, (tuple, list)) else size
    mean, std = getattr(visual, "image_mean", None) or IMAGE_MEAN, getattr(visual, "image_std", None) or IMAGE_STD
    return ImageEncoder(visual, resolution, mean, std, float(model.logit_scale.exp()), device)
