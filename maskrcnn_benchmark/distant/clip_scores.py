"""What CLIP says of the candidates of each pair: its image tower on the pair's crop, its text tower on their phrases.

M labels, T different (subject class, predicate, object class) among them, d width of the embedding.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from maskrcnn_benchmark.data.datasets.images import load_image
from maskrcnn_benchmark.data.datasets.vg_format import BOX_SCALE, BOXES, corners
from maskrcnn_benchmark.modeling.language.array_files import read_array
from maskrcnn_benchmark.modeling.language.crops import CropRule, crop_boxes, union_boxes
from maskrcnn_benchmark.modeling.language.embedding_cache import EmbeddingCache
from maskrcnn_benchmark.modeling.language.errors import LanguageError
from maskrcnn_benchmark.modeling.language.image_encoder import ImageEncoder, load_image_encoder, normalise_pictures
from maskrcnn_benchmark.modeling.language.phrases import check_templates, fill_template
from maskrcnn_benchmark.modeling.language.text_encoder import EncoderSpec
from maskrcnn_benchmark.utils.files import atomic_write

from .labels import Labels

TEMPLATES = (
    "a photo of a {subject} {predicate} a {object}",
    "a picture of a {subject} {predicate} a {object}",
    "a {subject} {predicate} a {object}",
)
FORMAT = 2  # raise it when the same inputs would give other scores
IMAGES_AT_ONCE = 256  # images whose scores make a file of the cache
logger = logging.getLogger("maskrcnn_benchmark")


@dataclass(frozen=True)
class ClipScorer:
    """Scores labels by CLIP, and keeps the scores on disk, so that a stopped run goes on and options are cheap to vary.

    Attributes:
        spec: which CLIP.
        cache_dir: where embeddings of phrases and scores are kept.
        device: where the towers run.
        templates: of the phrases, each with {subject}, {predicate} and {object}.
        rule: how a pair is cut out of its picture.
        batch: crops that the image tower sees at once.
        workers: processes that read and cut pictures, 0 for none.
    """

    spec: EncoderSpec
    cache_dir: str
    device: torch.device
    templates: tuple[str, ...] = TEMPLATES
    rule: CropRule = field(default_factory=CropRule)
    batch: int = 256
    workers: int = 0

    def logits(
        self,
        labels: Labels,
        arrays: dict[str, np.ndarray],
        filenames: Sequence[str],
        sizes: np.ndarray,
        classes: Sequence[str],
        predicates: Sequence[str],
    ) -> np.ndarray:
        """Cosine of crop and phrase times the scale that CLIP learnt.

        Args:
            labels: M candidates.
            arrays: of the h5 that they belong to.
            filenames: of the pictures of all images of the h5.
            sizes: width and height of these in pixels, [N, 2].
            classes, predicates: names by index, background first.

        Returns:
            float64 [M]; a softmax over the candidates of a pair gives CLIP's probabilities.

        Raises:
            InputError: a picture that cannot be read. LanguageError: no such CLIP, or templates that do not fit.
        """
        self.rule.check("--margin", "--fit")
        check_templates("spo", self.templates)
        if not len(labels):
            return np.zeros(0)
        phrases, phrase_of_label = self._phrases(labels, arrays, classes, predicates)
        texts = EmbeddingCache(self.spec, self.cache_dir, self.device).embed(phrases, "candidates")
        crops = _crops(labels, arrays, sizes)
        folder = Path(self.cache_dir).expanduser() / "pair-scores"
        common = [FORMAT, self.spec.identity(), self.spec.library_version(), self.rule._asdict(), self.templates]
        encoder = None  # loaded when the first scores are not on the disk
        scores = []
        images = np.unique(labels.image)
        for first in tqdm(range(0, len(images), IMAGES_AT_ONCE), desc="CLIP", unit=f" x {IMAGES_AT_ONCE} images"):
            part = images[first : first + IMAGES_AT_ONCE]
            rows, some = _span(labels.image, part), _span(crops.image, part)
            of_label = crops.of_label[rows] - some.start
            names = [filenames[i] for i in part]
            said = [[phrases[0][i] for i in phrase_of_label[rows]], [os.path.basename(name) for name in names]]
            key = hashlib.sha256(json.dumps([common, said]).encode())
            for values in (crops.boxes[some], crops.image[some], of_label):
                key.update(np.ascontiguousarray(values).tobytes())
            path = folder / f"{key.hexdigest()[:32]}.npy"
            found = _read(path, len(of_label))
            if found is None:
                encoder = encoder or load_image_encoder(self.spec, self.device)
                boxes = np.split(crops.boxes[some], np.searchsorted(crops.image[some], part[1:]))
                features = self._embed(encoder, names, boxes)  # [crops of the part, d]
                text = torch.from_numpy(texts[phrase_of_label[rows]])
                found = encoder.scale * (features[torch.from_numpy(of_label)] * text).sum(1).double().numpy()
                with atomic_write(path) as temporary:
                    np.save(temporary, found)
            scores.append(found)
        return np.concatenate(scores)

    def _phrases(
        self, labels: Labels, arrays: dict[str, np.ndarray], classes: Sequence[str], predicates: Sequence[str]
    ) -> tuple[list[list[str]], np.ndarray]:
        """The different phrases of the labels for each template, T each, and which of them is whose, int64 [M]."""
        subjects, objects = arrays["labels"][labels.pairs, 0].astype(np.int64).T
        triplets, of_label = np.unique(
            np.column_stack((subjects, labels.predicates, objects)), axis=0, return_inverse=True
        )
        names = [(classes[s], predicates[p], classes[o]) for s, p, o in triplets]
        phrases = [
            [fill_template(template, subject=s, predicate=p, object=o) for s, p, o in names]
            for template in self.templates
        ]
        return phrases, of_label.reshape(-1)

    def _embed(self, encoder: ImageEncoder, names: Sequence[str], boxes: Sequence[np.ndarray]) -> Tensor:
        """Embeddings of all boxes of some pictures, one picture after the other, [sum, d]."""
        dataset = _Pictures(names, boxes, encoder.resolution, encoder.mean, encoder.std, self.rule)
        loader = DataLoader(dataset, batch_size=None, num_workers=self.workers)
        features, waiting, number = [], [], 0
        for pictures in loader:
            waiting.append(pictures)
            number += len(pictures)
            if number >= self.batch:
                features.append(encoder.embed(torch.cat(waiting).to(encoder.device)).cpu())
                waiting, number = [], 0
        if waiting:
            features.append(encoder.embed(torch.cat(waiting).to(encoder.device)).cpu())
        return torch.cat(features)


@dataclass(frozen=True)
class _Crops:
    """The different crops of labels: both orders of two boxes have the same.

    Attributes:
        image: of each crop, ascending, int64 [C].
        boxes: x1, y1, x2, y2 in pixels, float64 [C, 4].
        of_label: which crop is whose, int64 [M].
    """

    image: np.ndarray
    boxes: np.ndarray
    of_label: np.ndarray


def _crops(labels: Labels, arrays: dict[str, np.ndarray], sizes: np.ndarray) -> _Crops:
    ends, index, of_label = np.unique(np.sort(labels.pairs, axis=1), axis=0, return_index=True, return_inverse=True)
    image = labels.image[index]
    # the boxes of an image stand together in the h5, but images need not stand in order
    order = np.argsort(image, kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    boxes = corners(arrays[BOXES]).astype(np.float64)
    union = union_boxes(*(torch.from_numpy(boxes[ends[order, side]]) for side in (0, 1))).numpy()
    scale = sizes[image[order]].max(1) / BOX_SCALE
    return _Crops(image[order], union * scale[:, None], place[of_label.reshape(-1)])


class _Pictures(Dataset):
    """The crops of one picture after the other, as the image tower takes them, float32 [crops, 3, size, size]."""

    def __init__(
        self,
        names: Sequence[str],
        boxes: Sequence[np.ndarray],
        size: int,
        mean: Sequence[float],
        std: Sequence[float],
        rule: CropRule,
    ):
        self.names, self.boxes, self.size, self.mean, self.std, self.rule = names, boxes, size, mean, std, rule

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Tensor:
        image = load_image(self.names[index])
        pixels = normalise_pictures(torch.from_numpy(np.array(image)[None]), self.mean, self.std)
        boxes = torch.from_numpy(self.boxes[index]).float()
        rows = torch.zeros(len(boxes), dtype=torch.int64)
        return crop_boxes(pixels, [image.size], rows, boxes, self.size, self.rule)


def _span(image: np.ndarray, part: np.ndarray) -> slice:
    """The rows of consecutive images in an ascending list of images."""
    return slice(*(int(place) for place in np.searchsorted(image, [part[0], part[-1] + 1])))


def _read(path: Path, count: int) -> np.ndarray | None:
    """Scores of an earlier run, None where there are none or the file is damaged."""
    if not path.exists():
        return None
    try:
        scores = read_array(str(path))
    except LanguageError as error:
        logger.warning("%s is damaged (%s) and will be made again", path, error)
        return None
    return scores if scores.shape == (count,) else None
