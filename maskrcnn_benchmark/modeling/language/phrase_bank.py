"""Embeddings of all phrases of a data set: (subject, predicate), (predicate, object) and, if asked for, whole triplets.

Shapes: O object classes and R predicates without background, d width of the embeddings.
"""

from __future__ import annotations

import os
from typing import Any, Dict, List, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .array_files import read_arrays
from .defaults import KEY
from .embedding_cache import EmbeddingCache, write_file
from .errors import LanguageError
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
            LanguageError: no such file, or not that of a bank.
        """
        path = os.path.expanduser(path)
        if not os.path.isfile(path):
            raise LanguageError(f"{KEY}.BANK_FILE: there is no file {path}.")
        contents = read_arrays(path)
        for name in ("objects", "predicates", ARRAYS["sp"], ARRAYS["po"]):
            if name not in contents:
                raise LanguageError(
                    f"{path}: a phrase bank needs the array {name!r}; found {', '.join(contents) or 'none'}."
                )
        objects, predicates = contents["objects"], contents["predicates"]
        arrays = {level: contents[name] for level, name in ARRAYS.items() if name in contents}
        for level, array in arrays.items():
            expected = [len(predicates) if word == "predicate" else len(objects) for word in LEVELS[level][1]]
            if list(array.shape[:-1]) != expected or array.dtype.kind != "f":
                raise LanguageError(
                    f"{path}: {ARRAYS[level]} has shape {array.shape} and type {array.dtype}; expected real numbers "
                    f"[{', '.join(map(str, expected))}, d] for {len(objects)} objects and {len(predicates)} predicates."
                )
            if not 1 <= array.shape[-1] <= 100_000 or not (np.abs(array).max(axis=-1) > 0).all():
                raise LanguageError(f"{path}: {ARRAYS[level]} has vectors that are zero or have no width.")
        if len({array.shape[-1] for array in arrays.values()}) > 1:
            widths = ", ".join(f"{ARRAYS[level]} {array.shape[-1]}" for level, array in arrays.items())
            raise LanguageError(f"{path}: the vectors of a bank have one width, found {widths}.")
        for what, names in (("objects", objects), ("predicates", predicates)):
            if names.ndim != 1 or names.dtype.kind != "U" or len(set(names.tolist())) != len(names):
                raise LanguageError(f"{path}: {what} must be a list of different names.")
        templates = {level: [str(t) for t in contents.get(f"templates_{level}", ())] for level in arrays}
        return cls(objects.tolist(), predicates.tolist(), templates, arrays)

    def vectors(self, level: str, objects: Sequence[str], predicates: Sequence[str]) -> Tensor:
        """Unit vectors of a level for a data set's names, which the bank may have in any order and among others.

        Returns:
            sp: [O, R, d] by subject; po: [O, R, d] by object; spo: [O, O, R, d] by subject and object.

        Raises:
            LanguageError: where the bank lacks a name or the level.
        """
        if level not in self.arrays:
            raise LanguageError(
                f"the phrase bank has no array {ARRAYS[level]!r}, which phrases of the level {level!r} come from."
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
            raise LanguageError(
                f"the phrase bank lacks {len(missing)} of {len(wanted)} names ({kind}), such as {missing[0]!r}; "
                f"build one for this data set (tools/build_phrase_bank.py)."
            )
        return [position[spell(name).lower()] for name in wanted]


def class_table(vectors: Tensor) -> Tensor:
    """A level's vectors with the indices of classes.

    Args:
        vectors: what PhraseBank.vectors returns.

    Returns:
        [G, R + 1, d]: for each group of phrases that differ in the predicate only, one per predicate. Groups are
        subjects (sp), objects (po) or subject * (O + 1) + object (spo). Rows of background, 0, are zero, so that they
        add nothing to a logit. Whole triplets are kept in half precision.
    """
    background = [1, 0] * (vectors.dim() - 1)  # one row of zeros in front of every class axis
    table = F.pad(vectors, [0, 0, *background]).flatten(0, -3)
    return table.half() if vectors.dim() == 4 else table


def bank_from_config(
    node: Any, objects: Sequence[str], predicates: Sequence[str], levels: Sequence[str], device: torch.device
) -> PhraseBank:
    """The phrase bank that a configuration asks for: a file, or built with a text encoder.

    Args:
        node: MODEL.LANGUAGE.
        objects, predicates: names without background.
        levels: those that the bank must have.
        device: where the text tower runs, if it must.
    """
    if node.BANK_FILE:
        return PhraseBank.load(node.BANK_FILE)
    return PhraseBank.build(embedding_cache(node, device), objects, predicates, _templates(node, levels))


def is_bank_cached(node: Any, objects: Sequence[str], predicates: Sequence[str], levels: Sequence[str]) -> bool:
    """Whether all phrases that `bank_from_config` would embed are on disk; arguments as there."""
    cache = embedding_cache(node, torch.device("cpu"))
    return all(
        cache.holds(level_phrases(level, prompts, objects, predicates), DTYPES[level])
        for level, prompts in _templates(node, levels).items()
    )


def _templates(node: Any, levels: Sequence[str]) -> Dict[str, Sequence[str]]:
    return {level: tuple(node.TEMPLATES[LEVELS[level][0]]) for level in levels}


def phrase_tables(
    config: Any, objects: Sequence[str], predicates: Sequence[str], levels: Sequence[str] = ("sp", "po")
) -> Dict[str, Tensor]:
    """Tables of phrases by class index (`class_table`), one for each level.

    Args:
        config: the host's configuration.
        objects, predicates: names without background.
    """
    bank = bank_from_config(config.MODEL.LANGUAGE, objects, predicates, levels, torch.device(config.MODEL.DEVICE))
    return {level: class_table(bank.vectors(level, objects, predicates)) for level in levels}


def encoder_spec(node: Any) -> EncoderSpec:
    """Which CLIP a configuration asks for; node: MODEL.LANGUAGE."""
    if node.LIBRARY not in ("clip", "open_clip"):
        raise LanguageError(f"{KEY}.LIBRARY is {node.LIBRARY!r}; it can be 'clip' or 'open_clip'.")
    return EncoderSpec(node.LIBRARY, node.NAME, node.PRETRAINED)


def embedding_cache(node: Any, device: torch.device) -> EmbeddingCache:
    """The text encoder of a configuration, behind its cache; node: MODEL.LANGUAGE."""
    return EmbeddingCache(encoder_spec(node), node.CACHE_DIR, device)
