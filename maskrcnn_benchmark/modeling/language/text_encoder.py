"""Frozen text towers: OpenAI's `clip` and `open_clip`, used once to embed the phrases of a phrase bank.

n phrases, L tokens of the longest of them, w width of the tower, d width of the embedding.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import os
from importlib import metadata
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .defaults import KEY
from .errors import LanguageError
from .torchscript import is_torchscript, read_torchscript

VOCABULARY = 49408  # of the tokenizer of OpenAI's package
HEAD_WIDTH = 64  # of every model in the format of OpenAI's package, which does not store the number of heads
NODES_AT_ONCE = 2048  # prefixes whose keys and values are gathered together
# What pip calls the packages that can be imported as `clip` and `open_clip`.
DISTRIBUTIONS = {"clip": ("clip-anytorch", "openai-clip", "clip"), "open_clip": ("open-clip-torch",)}
INSTALL = {
    "clip": 'pip install clip-anytorch "setuptools<81"',
    "open_clip": "pip install open_clip_torch",
}


class EncoderSpec(NamedTuple):
    """Which text encoder: everything that can be said about it without its library."""

    library: str  # clip | open_clip
    name: str  # a name the library knows or, for clip, a path
    pretrained: str = ""  # open_clip: tag or path of the weights

    def weights_file(self) -> Optional[str]:
        """Path of the weights where the configuration gives one, else None.

        Raises:
            LanguageError: where it looks like a path and no such file exists.
        """
        key, value = ("NAME", self.name) if self.library == "clip" else ("PRETRAINED", self.pretrained)
        path = os.path.expanduser(value)
        if os.path.isfile(path):
            return path
        if value.endswith((".pt", ".pth", ".bin", ".safetensors")) or path.startswith((os.sep, "." + os.sep)):
            raise LanguageError(f"{KEY}.{key}: there is no file {value}.")
        return None

    def identity(self) -> str:
        """What tells one set of weights from another; needs the weights file, but not the library."""
        path = self.weights_file()
        if path is None:
            return f"{self.library}:{self.name}:{self.pretrained}"
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
        architecture = self.name if self.library == "open_clip" else ""
        return f"{self.library}:{architecture}:sha256:{digest.hexdigest()}"

    def library_version(self) -> Optional[str]:
        """Version of the installed library, None where it is not installed."""
        for distribution in DISTRIBUTIONS[self.library]:
            try:
                return metadata.version(distribution)
            except metadata.PackageNotFoundError:
                continue
        return None


class PrefixTree(NamedTuple):
    """The distinct beginnings of tokenised phrases, shortest first; node k stands for one of them."""

    token: Tensor  # int64 [K], last token of the beginning
    depth: Tensor  # int64 [K], its position
    ancestors: List[Tensor]  # per depth t: int64 [K_t, t + 1], nodes of the beginnings of each node, itself last
    end: Tensor  # int64 [n], node of each whole phrase


def prefix_tree(tokens: Tensor) -> PrefixTree:
    """Arrange phrases by their beginnings, up to and with the end token.

    Args:
        tokens: int64 [n, context] on the CPU, the end token the highest number of each row.
    """
    lengths = tokens.argmax(dim=1) + 1
    vocabulary = int(tokens.max()) + 1
    node = torch.zeros(len(tokens), dtype=torch.int64)  # node of each phrase's beginning of the current length
    path = torch.zeros(len(tokens), 0, dtype=torch.int64)  # all of its nodes
    token, depth, ancestors, first = [], [], [], 0
    for t in range(int(lengths.max())):
        alive = lengths > t
        _, inverse = torch.unique(node[alive] * vocabulary + tokens[alive, t], return_inverse=True)
        count = int(inverse.max()) + 1
        representative = torch.zeros(count, dtype=torch.int64).index_copy_(0, inverse, alive.nonzero()[:, 0])
        node[alive] = first + inverse
        path = torch.cat([path, node[:, None]], dim=1)  # [n, t + 1]
        token.append(tokens[representative, t])
        depth.append(torch.full((count,), t))
        ancestors.append(path[representative])
        first += count
    return PrefixTree(torch.cat(token), torch.cat(depth), ancestors, node)


class CausalTower(nn.Module):
    """A causal text transformer that computes every distinct beginning of the phrases once.

    In a causal tower a position depends on those before it only. So nothing after a phrase's end token matters (the
    context is cut to the longest phrase), and phrases that begin alike share all states of that beginning: of the some
    twelve tokens of a phrase in a phrase bank, eight or nine are shared with others. The result equals that of the full
    tower up to rounding.

    Args:
        token_embedding: [vocabulary, w].
        positional_embedding: [context, w].
        blocks: pre-norm residual blocks as in `clip` and `open_clip`: ln_1, attn (nn.MultiheadAttention), ln_2, mlp
            and, where there are any, the layer scales ls_1 and ls_2.
        ln_final: layer norm.
        text_projection: [w, d].
    """

    def __init__(
        self,
        token_embedding: Tensor,
        positional_embedding: Tensor,
        blocks: Sequence[Any],
        ln_final: nn.Module,
        text_projection: Tensor,
    ) -> None:
        super().__init__()
        self.token_embedding = nn.Parameter(token_embedding.detach().float())
        self.positional_embedding = nn.Parameter(positional_embedding.detach().float())
        self.blocks = nn.ModuleList(blocks)
        self.ln_final = ln_final
        self.text_projection = nn.Parameter(text_projection.detach().float())
        self.eval().float().requires_grad_(False)

    @torch.no_grad()
    def forward(self, tokens: Tensor) -> Tensor:
        """Embeddings [n, d] of phrases given as tokens [n, context], the end token the highest number of each row."""
        device = self.token_embedding.device
        tree = prefix_tree(tokens)
        ancestors = [nodes.to(device) for nodes in tree.ancestors]
        x = self.token_embedding[tree.token.to(device)]  # [K, w]
        x = x + self.positional_embedding[tree.depth.to(device)]
        block: Any
        for block in self.blocks:
            x = x + scaled(block, "ls_1", self._attention(block.attn, block.ln_1(x), ancestors))
            parts = x.split(NODES_AT_ONCE)
            x = torch.cat([part + scaled(block, "ls_2", block.mlp(block.ln_2(part))) for part in parts])
        return self.ln_final(x[tree.end.to(device)]) @ self.text_projection

    @staticmethod
    def _attention(attention: nn.MultiheadAttention, x: Tensor, ancestors: List[Tensor]) -> Tensor:
        """Each node attends to the nodes of its own beginning. x: [K, w] -> [K, w]."""
        heads, width = attention.num_heads, x.shape[1]
        q, k, v = F.linear(x, attention.in_proj_weight, attention.in_proj_bias).chunk(3, dim=1)
        q = q * (width // heads) ** -0.5
        out, first = [], 0
        for level in ancestors:  # nodes of one depth have as many ancestors
            for nodes in level.split(NODES_AT_ONCE):
                query = q[first : first + len(nodes)].view(len(nodes), heads, 1, -1)
                key = k[nodes].view(*nodes.shape, heads, -1).permute(0, 2, 3, 1)  # [c, heads, w / heads, t + 1]
                value = v[nodes].view(*nodes.shape, heads, -1).transpose(1, 2)
                out.append(((query @ key).softmax(-1) @ value).reshape(len(nodes), width))
                first += len(nodes)
        return F.linear(torch.cat(out), attention.out_proj.weight, attention.out_proj.bias)


def scaled(block: nn.Module, name: str, x: Tensor) -> Tensor:
    """Apply the block's layer scale of that name, which only some of open_clip's towers have."""
    return getattr(block, name)(x) if hasattr(block, name) else x


class TextEncoder:
    """Phrases to unit vectors.

    Args:
        tokenize: phrases -> int64 [n, context].
        tower: tokens -> [n, d].
    """

    def __init__(self, tokenize: Callable[[List[str]], Tensor], tower: Callable[[Tensor], Tensor]) -> None:
        self.tokenize = tokenize
        self.tower = tower

    def encode(self, phrases: Sequence[str]) -> Tensor:
        """L2-normalised embeddings, float32 [n, d] on the CPU."""
        embeddings = self.tower(self.tokenize(list(phrases)))
        return F.normalize(embeddings.float(), dim=-1).cpu()


def load_text_encoder(spec: EncoderSpec, device: torch.device) -> TextEncoder:
    """Load the text tower.

    Raises:
        LanguageError: library not installed, weights not found, not downloadable or not those of such a model.
    """
    with torch.random.fork_rng(devices=[]):  # a model's start must not depend on whether its phrases were in the cache
        return (load_clip if spec.library == "clip" else load_open_clip)(spec, device)


def import_library(library: str) -> Any:
    """Import `clip` or `open_clip`.

    Raises:
        LanguageError: with the command that installs it, or with what keeps it from being imported.
    """
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise LanguageError(
            f"the text encoder needs the package {library}, which cannot be imported ({error}): {INSTALL[library]}; "
            f"or give {KEY}.BANK_FILE a phrase bank made elsewhere (tools/build_phrase_bank.py)."
        ) from error


def load_clip_state(spec: EncoderSpec) -> Tuple[Any, Dict[str, Tensor]]:
    """OpenAI's package, and the tensors of both towers, by name or from a file; errors as `load_text_encoder`."""
    clip = import_library("clip")
    path = spec.weights_file()
    return clip, read_clip_weights(path) if path else download_clip_weights(clip, spec.name)


def load_clip(spec: EncoderSpec, device: torch.device) -> TextEncoder:
    """A text tower in the format of OpenAI's package."""
    clip, state = load_clip_state(spec)
    missing = [
        name
        for name in ("token_embedding.weight", "positional_embedding", "ln_final.weight", "text_projection")
        if name not in state
    ]
    if missing:
        raise LanguageError(
            f"{spec.name}: these are no weights of a CLIP model: {missing[0]} is missing "
            f"(of {len(state)} tensors, the first is {next(iter(state), 'none')})."
        )
    width = state["ln_final.weight"].shape[0]
    context = state["positional_embedding"].shape[0]
    for name, rows in (
        ("token_embedding.weight", VOCABULARY),
        ("positional_embedding", context),
        ("text_projection", width),
    ):
        value = state[name]
        if value.dim() != 2 or len(value) != rows or (name != "text_projection" and value.shape[1] != width):
            raise LanguageError(
                f"{spec.name}: {name} has the shape {list(value.shape)}, expected "
                f"[{rows}, {width if name != 'text_projection' else 'd'}] for a text tower of this width."
            )
        if not value.any():
            raise LanguageError(f"{spec.name}: {name} is all zeros; these are no weights of a trained CLIP model.")
    picture = state.get("visual.proj")
    if picture is not None and picture.shape[-1:] != state["text_projection"].shape[-1:]:
        raise LanguageError(
            f"{spec.name}: its text tower embeds in {state['text_projection'].shape[-1]} numbers and its image tower "
            f"in {picture.shape[-1]}; they belong to different models."
        )
    blocks = {name.split(".")[2] for name in state if name.startswith("transformer.resblocks.")}
    if not blocks:
        raise LanguageError(f"{spec.name}: the text tower has no layer (transformer.resblocks.*).")
    transformer = importlib.import_module("clip.model").Transformer(width, len(blocks), max(1, width // HEAD_WIDTH))
    prefix = "transformer."
    ln_final = nn.LayerNorm(width)
    try:
        transformer.load_state_dict({k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)})
        ln_final.load_state_dict({"weight": state["ln_final.weight"], "bias": state["ln_final.bias"]})
    except (RuntimeError, KeyError) as error:
        raise LanguageError(
            f"{spec.name}: the text tower is not whole ({' '.join(str(error).split())[:300]})."
        ) from error
    tower = CausalTower(
        state["token_embedding.weight"],
        state["positional_embedding"],
        list(transformer.resblocks),
        ln_final,
        state["text_projection"],
    )

    def tokenize(phrases: List[str]) -> Tensor:
        try:
            return clip.tokenize(phrases, context_length=context).long()
        except RuntimeError as error:
            raise LanguageError(f"{KEY}.TEMPLATES: {error}.") from error

    return TextEncoder(tokenize, tower.to(device))


def read_clip_weights(path: str) -> Dict[str, Tensor]:
    """Tensors of a file that holds a state dict or a TorchScript archive; nothing in it is run.

    Raises:
        LanguageError: where it is neither.
    """
    if is_torchscript(path):
        return checked_weights(path, read_torchscript(path))
    if "weights_only" not in inspect.signature(torch.load).parameters:
        raise LanguageError(
            f"{path}: this version of PyTorch ({torch.__version__}) cannot read a state dict without running what is "
            f"in it; give a TorchScript archive, or build the phrase bank with PyTorch 1.13 or newer and name it in "
            f"{KEY}.BANK_FILE."
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling raises whatever the bytes lead to
        reason = str(error).split("\n")[0]
        raise LanguageError(f"{path}: neither a TorchScript archive nor a plain state dict ({reason}).") from error
    return checked_weights(path, state)


def checked_weights(path: str, state: Any) -> Dict[str, Tensor]:
    """Names and tensors, if that is what a file holds: dense ones, as large as they say, real numbers, finite.

    Raises:
        LanguageError: something else.
    """
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and torch.is_tensor(value) for name, value in state.items()
    ):
        raise LanguageError(f"{path}: expected a state dict (names -> tensors), found something else.")
    for name, value in state.items():
        if value.layout != torch.strided or value.is_quantized or value.is_complex():
            raise LanguageError(f"{path}: {name} is of {value.layout} and {value.dtype}, expected real numbers.")
        if value.numel() > 1 and 0 in value.stride():
            raise LanguageError(f"{path}: {name} has the shape {list(value.shape)}, for which it has too few bytes.")
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise LanguageError(f"{path}: {name} has values that are nan or infinite.")
    return state


def download_clip_weights(clip: Any, name: str) -> Dict[str, Tensor]:
    """Weights of a model that OpenAI published, from clip's own cache or from the network."""
    known = clip.available_models()
    if name not in known:
        raise LanguageError(
            f"{KEY}.NAME: clip knows no model {name!r}, nor is there such a file; it knows {', '.join(known)}."
        )
    try:
        model, _ = clip.load(name, device="cpu")
    except (OSError, RuntimeError) as error:
        url = getattr(importlib.import_module("clip.clip"), "_MODELS", {}).get(name, "OpenAI's repository CLIP")
        raise LanguageError(
            f"{KEY}.NAME: the weights of {name} are not at hand and could not be downloaded ({error}); "
            f"fetch {url} on another machine and put the file into ~/.cache/clip, or name its path in this key."
        ) from error
    return model.state_dict()


def load_open_clip_model(spec: EncoderSpec) -> Tuple[Any, Any]:
    """A model of open_clip with both towers, frozen, in float32, and its tokenizer; errors as `load_text_encoder`."""
    open_clip = import_library("open_clip")
    try:
        model = open_clip.create_model(spec.name, pretrained=spec.weights_file() or spec.pretrained or None)
        tokenizer = open_clip.get_tokenizer(spec.name)
    except Exception as error:  # open_clip, huggingface_hub and urllib each raise their own
        raise LanguageError(
            f"{KEY}: open_clip cannot load NAME {spec.name!r} with PRETRAINED {spec.pretrained!r} "
            f"({error}); open_clip.list_pretrained() lists what it knows, and PRETRAINED may also be the path of "
            f"downloaded weights."
        ) from error
    return model.float().eval().requires_grad_(False), tokenizer


def load_open_clip(spec: EncoderSpec, device: torch.device) -> TextEncoder:
    """A text tower of open_clip: causal ones by their prefix tree, others at full length."""
    model, tokenizer = load_open_clip_model(spec)
    model = model.to(device)
    text = getattr(model, "text", model)  # CustomTextCLIP keeps the tower in a module of its own
    if has_causal_tower(text):
        tower = CausalTower(
            text.token_embedding.weight,
            text.positional_embedding,
            list(text.transformer.resblocks),
            text.ln_final,
            text.text_projection,
        )
        return TextEncoder(tokenizer, tower.to(device))

    @torch.no_grad()
    def full_tower(tokens: Tensor) -> Tensor:
        return model.encode_text(tokens.to(device))

    return TextEncoder(tokenizer, full_tower)


def has_causal_tower(text: Any) -> bool:
    """Whether a text tower of open_clip is CLIP's: causal, read at the end token, projected by a matrix."""
    pooling = getattr(text, "pool_type", getattr(text, "text_pool_type", "argmax"))
    return (
        getattr(text, "attn_mask", None) is not None
        and getattr(text, "cls_emb", None) is None
        and pooling == "argmax"
        and torch.is_tensor(text.text_projection)
        and all(isinstance(block.attn, nn.MultiheadAttention) for block in text.transformer.resblocks)
    )
