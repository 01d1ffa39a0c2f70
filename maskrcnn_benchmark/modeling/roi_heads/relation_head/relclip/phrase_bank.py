"""Embeddings of all phrases of a data set: (subject, predicate), (predicate, object) and, if asked for, whole triplets.

Shapes: O object classes and R predicates without background, d width of the embeddings.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .defaults import KEY
from .embedding_cache import EmbeddingCache, write_file
from .errors import RelCLIPError
from .phrases import LEVELS, level_phrases, spell
from .text_encoder import EncoderSpec

ARRAYS = {"sp": "subject_predicate", "po": "predicate_object", "spo": "triplet"}  # names in a bank's file
# Whole triplets are O times as many: 2.3 GB at VG-150 and d = 512 in single precision.
DTYPES = {"sp": np.float32, "po": np.float32, "spo": np.float16}


class PhraseBank:
    """Unit vectors of phrases.

    Args:
        objects: O object names.
        predicates: R predicate names.
        templates: level -> prompts that were averaged; for the record.
        arrays: level -> sp [O, R, d], po [R, O, d], spo [O, R, O, d].
    """

    def __init__(
        self,
        objects: Sequence[str],
        predicates: Sequence[str],
        templates: Mapping[str, Sequence[str]],
        arrays: Mapping[str, np.ndarray],
    ) -> None:
        self.objects = [spell(str(name)) for name in objects]
        self.predicates = [spell(str(name)) for name in predicates]
        self.templates = {level: list(prompts) for level, prompts in templates.items()}
        self.arrays = dict(arrays)

    @classmethod
    def build(
        cls,
        cache: EmbeddingCache,
        objects: Sequence[str],
        predicates: Sequence[str],
        templates: Mapping[str, Sequence[str]],
    ) -> PhraseBank:
        """Embed all phrases of the levels that `templates` names, or take them from the cache."""
        arrays = {}
        for level, prompts in templates.items():
            phrases = level_phrases(level, prompts, objects, predicates)
            what = ARRAYS[level].replace("_", " ")
            sides = [len(predicates) if word == "predicate" else len(objects) for word in LEVELS[level][1]]
            arrays[level] = cache.embed(phrases, what, DTYPES[level]).reshape(*sides, -1)
        return cls(objects, predicates, templates, arrays)

    @classmethod
    def random(
        cls, objects: Sequence[str], predicates: Sequence[str], levels: Sequence[str], seed: int, width: int = 512
    ) -> PhraseBank:
        """Independent random vectors: what is left of a method when its phrases mean nothing."""
        generator = np.random.default_rng(seed)
        arrays = {}
        for level in levels:
            sides = [len(predicates) if word == "predicate" else len(objects) for word in LEVELS[level][1]]
            arrays[level] = generator.standard_normal((*sides, width)).astype(DTYPES[level])
        return cls(objects, predicates, {}, arrays)

    def save(self, path: str) -> None:
        """Write the bank as an npz file: objects [O], predicates [R], templates_<level>, and the arrays of ARRAYS."""
        contents: Dict[str, Any] = {
            "objects": np.array(self.objects, dtype=str),
            "predicates": np.array(self.predicates, dtype=str),
        }
        for level, array in self.arrays.items():
            contents[f"templates_{level}"] = np.array(self.templates.get(level, []), dtype=str)
            contents[ARRAYS[level]] = array
        write_file(path, lambda file: np.savez(file, **contents))

    @classmethod
    def load(cls, path: str) -> PhraseBank:
        """Read a bank's file, of this project or made with any other text encoder.

        Vectors need not have length 1; templates may be missing.

        Raises:
            RelCLIPError: no such file, or not that of a bank.
        """
        path = os.path.expanduser(path)
        if not os.path.isfile(path):
            raise RelCLIPError(f"{KEY}.BANK_FILE: there is no file {path}.")
        try:
            loaded = np.load(path, allow_pickle=False)
            contents = dict(loaded) if hasattr(loaded, "files") else {}  # a bare .npy has none
        except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise RelCLIPError(f"{path}: not an npz file of a phrase bank ({error}).") from error
        for name in ("objects", "predicates", ARRAYS["sp"], ARRAYS["po"]):
            if name not in contents:
                raise RelCLIPError(
                    f"{path}: a phrase bank needs the array {name!r}; found {', '.join(contents) or 'none'}."
                )
        objects, predicates = contents["objects"], contents["predicates"]
        arrays = {level: contents[name] for level, name in ARRAYS.items() if name in contents}
        for level, array in arrays.items():
            expected = [len(predicates) if word == "predicate" else len(objects) for word in LEVELS[level][1]]
            if list(array.shape[:-1]) != expected or array.dtype.kind != "f":
                raise RelCLIPError(
                    f"{path}: {ARRAYS[level]} has shape {array.shape} and type {array.dtype}; expected real numbers "
                    f"[{', '.join(map(str, expected))}, d] for {len(objects)} objects and {len(predicates)} predicates."
                )
            if not np.isfinite(array).all() or not (np.abs(array).max(axis=-1) > 0).all():
                raise RelCLIPError(f"{path}: {ARRAYS[level]} has vectors that are zero or not finite.")
        templates = {level: [str(t) for t in contents.get(f"templates_{level}", ())] for level in arrays}
        return cls(objects, predicates, templates, arrays)

    def vectors(self, level: str, objects: Sequence[str], predicates: Sequence[str]) -> Tensor:
        """Unit vectors of a level for a data set's names, which the bank may have in any order and among others.

        Returns:
            sp: [O, R, d] by subject; po: [O, R, d] by object; spo: [O, O, R, d] by subject and object.

        Raises:
            RelCLIPError: where the bank lacks a name or the level.
        """
        if level not in self.arrays:
            raise RelCLIPError(
                f"the phrase bank has no array {ARRAYS[level]!r}, which {KEY}.LEVELS asks for with {level!r}."
            )
        o = self._indices(self.objects, objects, "object class")
        r = self._indices(self.predicates, predicates, "predicate")
        if level == "sp":
            array = self.arrays[level][np.ix_(o, r)]
        elif level == "po":
            array = self.arrays[level][np.ix_(r, o)].swapaxes(0, 1)
        else:
            array = self.arrays[level][np.ix_(o, r, o)].swapaxes(1, 2)
        return F.normalize(torch.from_numpy(np.ascontiguousarray(array)).float(), dim=-1)

    @staticmethod
    def _indices(known: List[str], wanted: Sequence[str], kind: str) -> List[int]:
        position = {name.lower(): i for i, name in enumerate(known)}
        missing = [name for name in wanted if spell(name).lower() not in position]
        if missing:
            raise RelCLIPError(
                f"the phrase bank lacks {len(missing)} of {len(wanted)} names ({kind}), such as {missing[0]!r}; "
                f"build one for this data set (tools/build_phrase_bank.py)."
            )
        return [position[spell(name).lower()] for name in wanted]


def class_table(vectors: Tensor, mean: Optional[Tensor] = None) -> Tensor:
    """A level's vectors with the indices of classes.

    Args:
        vectors: what PhraseBank.vectors returns.
        mean: [d], taken off before the vectors are normalised again; None leaves them as they are.

    Returns:
        [G, R + 1, d]: for each group of phrases that differ in the predicate only, one per predicate. Groups are
        subjects (sp), objects (po) or subject * (O + 1) + object (spo). Rows of background, 0, are zero, so that they
        add nothing to a logit. Whole triplets are kept in half precision.
    """
    if mean is not None:
        vectors = F.normalize(vectors - mean, dim=-1)
    background = [1, 0] * (vectors.dim() - 1)  # one row of zeros in front of every class axis
    table = F.pad(vectors, [0, 0, *background]).flatten(0, -3)
    return table.half() if vectors.dim() == 4 else table


def predicate_similarity(subject_predicate: Tensor, predicate_object: Tensor) -> Tensor:
    """How alike predicates are: mean cosine of their phrases about the same subject and about the same object.

    Args:
        subject_predicate, predicate_object: tables of the levels sp and po, [O + 1, R + 1, d].

    Returns:
        [R + 1, R + 1], zero in row and column of background.
    """
    table = torch.cat([subject_predicate[1:], predicate_object[1:]])  # [2 O, R + 1, d]
    return torch.einsum("gpd,gqd->pq", table, table) / len(table)


def bank_from_config(
    node: Any, objects: Sequence[str], predicates: Sequence[str], levels: Sequence[str], device: torch.device
) -> PhraseBank:
    """The phrase bank that a configuration asks for: a file, or built with a text encoder.

    Args:
        node: MODEL.ROI_RELATION_HEAD.RELCLIP.
        objects, predicates: names without background.
        levels: those that the bank must have.
        device: where the text tower runs, if it must.
    """
    if node.BANK_FILE:
        return PhraseBank.load(node.BANK_FILE)
    templates = {level: tuple(node.TEMPLATES[LEVELS[level][0]]) for level in levels}
    return PhraseBank.build(embedding_cache(node, device), objects, predicates, templates)


def encoder_spec(node: Any) -> EncoderSpec:
    """Which CLIP a configuration asks for."""
    encoder = node.TEXT_ENCODER
    if encoder.LIBRARY not in ("clip", "open_clip"):
        raise RelCLIPError(f"{KEY}.TEXT_ENCODER.LIBRARY is {encoder.LIBRARY!r}; it can be 'clip' or 'open_clip'.")
    return EncoderSpec(encoder.LIBRARY, encoder.NAME, encoder.PRETRAINED)


def embedding_cache(node: Any, device: torch.device) -> EmbeddingCache:
    """The text encoder of a configuration, behind its cache."""
    return EmbeddingCache(encoder_spec(node), node.CACHE_DIR, device)
