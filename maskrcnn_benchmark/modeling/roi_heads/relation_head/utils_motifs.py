"""Inputs and word vectors that the contexts share: box codes, label embeddings, sequence order, GloVe."""

import logging
import os
import pickle
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from maskrcnn_benchmark.layers.batch_norm import RowBatchNorm1d
from maskrcnn_benchmark.modeling.language.phrase_bank import embedding_cache
from maskrcnn_benchmark.modeling.language.phrases import spell, with_article
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.utils.comm import all_gather, get_world_size
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import atomic_write
from maskrcnn_benchmark.utils.global_batch import current_step, mean_row, uniform_by_image
from maskrcnn_benchmark.utils.transfer import to_device

from .utils_relation import relation_task

SPREAD = 1.0  # standard deviation of the entries of SGB's random embeddings


class UntreatedMeans(nn.Module):
    """Base of modules that keep moving averages of features, "untreated" values for the causal effects."""

    average_ratio = 0.0005

    def moving_average(self, holder: Tensor, input: Tensor) -> Tensor:
        """The average [d] moved a little towards the mean row of `input` [n, d]; unmoved where there is no row.

        With several processes the mean is that of all their rows.
        """
        mean = mean_row(input)
        return holder if mean is None else torch.lerp(holder, mean.to(holder.dtype), self.average_ratio)

    def moving_average_by_image(self, holder: Tensor, input: Tensor, counts: Sequence[int]) -> Tensor:
        """As `moving_average`, image after image; `counts` of the rows [n, d] are each image's."""
        means = [rows.mean(dim=0) for rows in input.detach().split(counts) if len(rows)]
        if get_world_size() > 1:
            step = current_step()
            own = [] if step is not None and not step.counts else [mean.cpu() for mean in means]
            means = [mean.to(holder.device) for part in all_gather(own) for mean in part]
        for mean in means:
            holder = torch.lerp(holder, mean.to(holder.dtype), self.average_ratio)
        return holder


def position_embedding(linear: Callable[[int, int], nn.Module] = nn.Linear) -> nn.Sequential:
    """Layers that embed box codes as `encode_box_info` makes them: [n, 9] -> [n, 128]."""
    return nn.Sequential(linear(9, 32), RowBatchNorm1d(32, momentum=0.001), linear(32, 128), nn.ReLU(inplace=True))


def embed_labels(embedding: nn.Embedding, proposals: Sequence[BoxList], use_gt_label: bool) -> Tensor:
    """Embedding of each object's label, or the mean of all embeddings under the detector's class probabilities.

    Args:
        embedding: one row per object class.
        proposals: with the field `labels`, or with `predict_logits` of the detector.
        use_gt_label: which of both.

    Returns:
        [n, embedding width]
    """
    if use_gt_label:
        return embedding(torch.cat([p.get_field("labels") for p in proposals]).long())
    logits = torch.cat([p.get_field("predict_logits") for p in proposals]).detach()
    return logits.float().softmax(dim=1) @ embedding.weight


def center_x(proposals: Sequence[BoxList]) -> Tensor:
    """Horizontal centres of all boxes in pixels, [n]."""
    boxes = torch.cat([p.convert("xyxy").bbox for p in proposals])
    return 0.5 * (boxes[:, 0] + boxes[:, 2])


def encode_box_info(proposals: Sequence[BoxList]) -> Tensor:
    """(w, h, cx, cy, x1, y1, x2, y2, w * h) of all boxes, relative to their image, [n, 9]."""
    codes = []
    for proposal in proposals:
        boxes = proposal.convert("xyxy").bbox
        size = boxes[:, 2:] - boxes[:, :2] + 1.0
        center = boxes[:, :2] + 0.5 * size
        codes.append(torch.cat((size, center, boxes, size.prod(dim=1, keepdim=True)), dim=1))
    sizes = [[*proposal.size] * 4 + [proposal.size[0] * proposal.size[1]] for proposal in proposals]
    scales = np.repeat(np.array(sizes, dtype=np.float32), [len(proposal) for proposal in proposals], axis=0)
    return torch.cat(codes) / to_device(torch.from_numpy(scales), codes[0].device)


def transpose_packed_sequence_inds(lengths: Sequence[int]) -> tuple[np.ndarray, list[int]]:
    """Order in which a packed sequence stores rows that lie sequence by sequence.

    Args:
        lengths: of the sequences, longest first.

    Returns:
        row indices, first those of step 0 of every sequence, [sum of lengths], and the number of sequences that reach
        each step

    >>> transpose_packed_sequence_inds([3, 2])
    (array([0, 3, 1, 4, 2]), [2, 2, 1])
    """
    lengths = np.asarray(lengths)
    starts = np.cumsum(lengths) - lengths
    steps = np.arange(lengths.max(initial=0))
    reached = steps[:, None] < lengths  # [steps, sequences]
    return (starts + steps[:, None])[reached], reached.sum(axis=1).tolist()


def sort_by_score(
    proposals: Sequence[BoxList], scores: Tensor, each_alone: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Order of objects for LSTMs over images: images with most objects first, in each the highest score first.

    SGB tells images apart by a number that it adds to their scores, and sorts all images' at once. The rounding makes
    close scores equal, and which of equal ones comes first is left to the sort. The same is done here, since the
    published models were trained so.

    Args:
        proposals: objects of each image.
        scores: of all objects, in [0, 1), [n]
        each_alone: round and sort as for images that are alone, so that the order in a batch is that of its images one
            by one.

    Returns:
        the permutation into packed order, its inverse, both int64 [n], and the batch sizes of the packed sequence
    """
    num_objs = [len(p) for p in proposals]
    starts = np.cumsum([0, *num_objs]).tolist()
    num_images = 1 if each_alone else len(proposals)
    offsets = [2.0 * (n * 2 * num_images + (0 if each_alone else i)) for i, n in enumerate(num_objs)]
    keys = [image_scores + offset for image_scores, offset in zip(scores.split(num_objs), offsets, strict=True)]
    images = longest_first(proposals) if each_alone else sorted(range(len(num_objs)), key=lambda i: -offsets[i])
    if each_alone:
        orders = [starts[i] + keys[i].argsort(descending=True) for i in images]
        order = torch.cat(orders) if orders else scores.argsort()
    else:
        order = torch.cat(keys).argsort(descending=True)
    packed, batch_sizes = transpose_packed_sequence_inds([num_objs[i] for i in images])
    perm = order[to_device(torch.from_numpy(packed), order.device)]
    return perm, perm.argsort(), torch.tensor(batch_sizes)


def longest_first(proposals: Sequence[BoxList]) -> list[int]:
    """Places of the images in the order of the sequences of `sort_by_score` with `each_alone`; none without objects."""
    return sorted((i for i, p in enumerate(proposals) if len(p)), key=lambda i: -len(proposals[i]))


def to_onehot(vec: Tensor, num_classes: int, fill: float = 1000) -> Tensor:
    """Logits of certain labels: `fill` at the label, -`fill` elsewhere; int [n] -> float [n, num_classes]."""
    logits = torch.full((len(vec), num_classes), -float(fill), device=vec.device)
    return logits.scatter_(1, vec.long()[:, None], float(fill))


def get_dropout_mask(dropout_probability: float, images: Sequence[int], width: int, device: torch.device) -> Tensor:
    """Dropout masks to be used for all steps of sequences: zeros, and 1 / (1 - p) where values are kept.

    Args:
        images: the place in the batch of the image of each sequence.

    Returns:
        [len(images), width]
    """
    keep = uniform_by_image(images, width, device) > dropout_probability
    return keep.float() / (1.0 - dropout_probability)


@torch.no_grad()
def object_word_vectors(config, names: Sequence[str], width: int | None = None) -> Tensor:
    """Initial embeddings of class names, `EMBED_DIM` wide unless told, from where `WORD_EMBEDDING` says.

    `glove` reads GloVe's vectors from `GLOVE_DIR`. `clip` embeds "a photo of a {name}" with the text encoder of
    MODEL.LANGUAGE, keeps the leading principal components over the given names (zeros where EMBED_DIM exceeds their
    number) and scales them to GloVe's spread. `random` draws a normal vector per name, the same in every run.

    Returns:
        float32 [number of names, width]
    """
    width = width or config.MODEL.ROI_RELATION_HEAD.EMBED_DIM
    return _word_vectors(config, names, width, of_predicates=False)


@torch.no_grad()
def predicate_word_vectors(config, names: Sequence[str], width: int) -> Tensor:
    """Initial embeddings of predicates: as `object_word_vectors`, but from GloVe by `rel_vectors`.

    `clip` embeds "a photo of something {name} something".

    Returns:
        float32 [number of names, width]
    """
    return _word_vectors(config, names, width, of_predicates=True)


def _word_vectors(config, names: Sequence[str], width: int, of_predicates: bool) -> Tensor:
    kind = config.MODEL.ROI_RELATION_HEAD.WORD_EMBEDDING
    if kind == "glove":
        vectors = rel_vectors if of_predicates else obj_edge_vectors
        return vectors(names, wv_dir=config.GLOVE_DIR, wv_dim=width)
    if kind == "clip":
        return principal_components(_clip_embeddings(config, names, of_predicates), width)
    if kind == "random":
        return torch.stack([_random_vector(name, width) for name in names])
    raise InputError(f"MODEL.ROI_RELATION_HEAD.WORD_EMBEDDING is {kind!r}; choose glove, clip or random.")


def obj_edge_vectors(names: Sequence[str], wv_dir: str, wv_type: str = "glove.6B", wv_dim: int = 300) -> Tensor:
    """Word vectors of class names.

    A name that has none takes that of its longest word, so "traffic light" that of "traffic"; if that has none either,
    a normal random vector that depends on the name only.

    Returns:
        float32 [number of names, wv_dim]
    """
    index, vectors, _ = load_word_vectors(wv_dir, wv_type, wv_dim)
    logger = logging.getLogger(__name__)
    rows = []
    for name in names:
        word = name if name in index else max(name.split(" "), key=len)
        if word not in index:
            logger.warning("%s%s has no word vector for %r: it starts from a random one.", wv_type, wv_dim, name)
        rows.append(vectors[index[word]] if word in index else _random_vector(name, wv_dim))
    return torch.stack(rows)


def rel_vectors(names: Sequence[str], wv_dir: str, wv_type: str = "glove.6B", wv_dim: int = 300) -> Tensor:
    """Word vectors of predicates: the mean over their words, as in PE-Net.

    Words without a vector do not count; a name without any word that has one, and the background, which is the first
    name, take a normal random vector that depends on the name only.

    Returns:
        float32 [number of names, wv_dim]
    """
    index, vectors, _ = load_word_vectors(wv_dir, wv_type, wv_dim)
    rows = []
    for i, name in enumerate(names):
        words = [name] if name in index else [word for word in name.split(" ") if word in index]
        known = i > 0 and bool(words)
        rows.append(vectors[[index[word] for word in words]].mean(dim=0) if known else _random_vector(name, wv_dim))
    return torch.stack(rows)


def load_word_vectors(root: str, wv_type: str, dim: int | str) -> tuple[dict[str, int], Tensor, int]:
    """GloVe's vectors from `<root>/<wv_type>.<dim>d.pt`, or from the `.txt` of that name, then cached as `.pt`.

    Returns:
        row of each word, vectors [words, width], width: what SGB caches, too
    """
    stem = f"{wv_type}.{dim}d" if isinstance(dim, int) else f"{wv_type}.{dim}"
    cache, text = Path(root, f"{stem}.pt"), Path(root, f"{stem}.txt")
    if cache.is_file():
        try:
            return torch.load(cache, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise InputError(
                f"{cache} cannot be read as cached word vectors; delete it, and it is made again from {text.name}."
            ) from error
    if not text.is_file():
        raise InputError(
            f"GLOVE_DIR {os.path.abspath(root)} holds neither {text.name} nor {cache.name}; unpack "
            f"https://nlp.stanford.edu/data/{wv_type}.zip there, or set MODEL.ROI_RELATION_HEAD.WORD_EMBEDDING to clip "
            "or random."
        )
    result = _read_glove_text(text, int(str(dim).removesuffix("d")))
    try:
        with atomic_write(cache) as temporary:
            torch.save(result, temporary)
    except OSError as error:  # a folder that others own: reading the text again next time is only slower
        logging.getLogger(__name__).warning("%s could not be written (%s); word vectors stay uncached.", cache, error)
    return result


def _read_glove_text(path: Path, width: int) -> tuple[dict[str, int], Tensor, int]:
    logging.getLogger(__name__).info("Reading word vectors from %s", path)
    index: dict[str, int] = {}
    rows: list[np.ndarray] = []
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            word, *values = line.strip().rsplit(b" ", width)
            try:
                row = np.array(values, dtype=np.float32)
                if len(row) != width:
                    raise ValueError(f"{len(row)} values")
            except ValueError as error:
                raise InputError(
                    f"{path}, line {number}: expected a word and {width} numbers ({error}); the file may be cut short."
                ) from error
            # words that are not UTF-8 name no class, but keep their row
            index[word.decode("utf-8", errors="replace")] = len(rows)
            rows.append(row)
    if not rows:
        raise InputError(f"{path} is empty; unpack it again.")
    return index, torch.from_numpy(np.stack(rows)), width


def _random_vector(name: str, width: int) -> Tensor:
    return torch.randn(width, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))


def _clip_embeddings(config, names: Sequence[str], of_predicates: bool) -> Tensor:
    cache = embedding_cache(config.MODEL.LANGUAGE, torch.device("cpu"))
    names = [spell(name) for name in names]
    if of_predicates:
        phrases = [f"a photo of something {name} something" for name in names]
    else:
        phrases = [f"a photo of {with_article(name)}" for name in names]
    return torch.from_numpy(cache.embed([phrases], "class names"))


def principal_components(vectors: Tensor, width: int) -> Tensor:
    """The leading principal components of rows, as spread as random embeddings are: [k, d] -> float32 [k, width].

    There are at most min(k, d) components; columns beyond them are zeros.
    """
    centred = vectors.double() - vectors.double().mean(dim=0)
    u, s, _ = torch.linalg.svd(centred, full_matrices=False)
    components = (u * s)[:, :width]
    components = components * (SPREAD / components.square().mean().sqrt().clamp(min=1e-12))
    return nn.functional.pad(components, (0, width - components.shape[1])).float()


class ObjectContext(UntreatedMeans):
    """What contexts of objects share: how an object's class and box are embedded."""

    def __init__(self, config, obj_classes: Sequence[str], in_channels: int):
        super().__init__()
        head = config.MODEL.ROI_RELATION_HEAD
        self.num_obj_classes = len(obj_classes)
        self.mode = relation_task(config)
        self.effect_analysis = head.CAUSAL.EFFECT_ANALYSIS
        self.embed_dim = head.EMBED_DIM
        self.obj_dim = in_channels
        self.hidden_dim = head.CONTEXT_HIDDEN_DIM

        word_vectors = object_word_vectors(config, obj_classes)
        self.obj_embed1 = nn.Embedding.from_pretrained(word_vectors.clone(), freeze=False)
        self.obj_embed2 = nn.Embedding.from_pretrained(word_vectors.clone(), freeze=False)
        self.pos_embed = position_embedding()
