"""Phrase banks: built, saved, given as a file of another encoder, indexed by the classes of a data set."""

import numpy as np
import pytest
import torch

from maskrcnn_benchmark.modeling.language.embedding_cache import EmbeddingCache
from maskrcnn_benchmark.modeling.language.errors import LanguageError
from maskrcnn_benchmark.modeling.language.phrase_bank import PhraseBank, bank_from_config, class_table, phrase_tables
from maskrcnn_benchmark.modeling.language.text_encoder import EncoderSpec, load_text_encoder

OBJECTS, PREDICATES = ["Cat", "fire hydrant", "ear"], ["on", "part_of"]


@pytest.fixture
def foreign():
    """A bank as another encoder may have made it: lengths are not 1, names in an order of their own."""
    g = np.random.default_rng(0)
    arrays = {"sp": g.normal(size=(4, 3, 5)), "po": g.normal(size=(3, 4, 5)), "spo": g.normal(size=(4, 3, 4, 5))}
    return PhraseBank(["dog", "ear", "cat", "fire_hydrant"], ["in", "part of", "on"], {}, arrays)


def test_every_phrase_has_its_embedding(tiny_clip, tmp_path):
    spec = EncoderSpec("clip", str(tiny_clip))
    cache = EmbeddingCache(spec, str(tmp_path), torch.device("cpu"))
    templates = {
        "sp": ["a {subject} {predicate} it"],
        "po": ["it {predicate} a {object}"],
        "spo": ["{subject} {predicate} {object}"],
    }
    bank = PhraseBank.build(cache, OBJECTS, PREDICATES, templates)
    encode = load_text_encoder(spec, torch.device("cpu")).encode
    assert bank.arrays["spo"].dtype == np.float16
    for s, subject in enumerate(["a Cat", "a fire hydrant", "an ear"]):
        for p, predicate in enumerate(["on", "part of"]):
            sp, po = encode([f"{subject} {predicate} it", f"it {predicate} {subject}"])
            np.testing.assert_allclose(bank.arrays["sp"][s, p], sp, atol=1e-5)
            np.testing.assert_allclose(bank.arrays["po"][p, s], po, atol=1e-5)
            triplet = encode([f"{subject.split(' ', 1)[1]} {predicate} ear"])[0]
            np.testing.assert_allclose(bank.arrays["spo"][s, p, 2], triplet, atol=1e-3)


def test_a_saved_bank_is_read_back(foreign, tmp_path):
    foreign.templates = {"sp": ["{subject} {predicate}"]}
    foreign.save(str(tmp_path / "bank.npz"))
    read = PhraseBank.load(str(tmp_path / "bank.npz"))
    assert (read.objects, read.predicates) == (["dog", "ear", "cat", "fire hydrant"], ["in", "part of", "on"])
    assert read.templates == {"sp": ["{subject} {predicate}"], "po": [], "spo": []}
    for level, array in foreign.arrays.items():
        assert np.array_equal(read.arrays[level], array)


def test_vectors_follow_the_names_of_the_data_set(foreign):
    unit = {level: array / np.linalg.norm(array, axis=-1, keepdims=True) for level, array in foreign.arrays.items()}
    o, r = [2, 3, 1], [2, 1]
    for level in ("sp", "po", "spo"):
        vectors = foreign.vectors(level, OBJECTS, PREDICATES).numpy()
        for i in range(3):
            for j in range(3):
                for p in range(2):
                    expected = {
                        "sp": unit["sp"][o[i], r[p]],
                        "po": unit["po"][r[p], o[i]],
                        "spo": unit["spo"][o[i], r[p], o[j]],
                    }[level]
                    found = vectors[i, j, p] if level == "spo" else vectors[i, p]
                    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_table_has_the_indices_of_classes_and_zeros_for_background(foreign):
    vectors = foreign.vectors("sp", OBJECTS, PREDICATES)
    table = class_table(vectors)
    assert table.shape == (4, 3, 5)
    assert torch.equal(table[1:, 1:], vectors)
    assert not table[0].any() and not table[:, 0].any()

    triplets = foreign.vectors("spo", OBJECTS, PREDICATES)
    table = class_table(triplets)
    assert table.shape == (16, 3, 5) and table.dtype == torch.float16
    torch.testing.assert_close(table[2 * 4 + 3, 1].float(), triplets[1, 2, 0], atol=1e-3, rtol=0)
    assert not table[:4].any() and not table[4].any() and not table[:, 0].any()


def test_names_that_the_bank_lacks_are_told(foreign):
    with pytest.raises(LanguageError, match=r"lacks 1 of 2 names \(predicate\), such as 'under'"):
        foreign.vectors("sp", OBJECTS, ["on", "under"])
    del foreign.arrays["spo"]
    with pytest.raises(LanguageError, match=r"no array 'triplet'.*'spo'"):
        foreign.vectors("spo", OBJECTS, PREDICATES)


def test_a_file_replaces_the_text_encoder(foreign, tmp_path, config):
    foreign.save(str(tmp_path / "bank.npz"))
    node = config(language={"BANK_FILE": str(tmp_path / "bank.npz")}).MODEL.LANGUAGE
    bank = bank_from_config(node, OBJECTS, PREDICATES, ("sp", "po"), torch.device("cpu"))
    assert np.array_equal(bank.arrays["sp"], foreign.arrays["sp"])


def test_tables_are_those_of_the_configured_bank(config, bank):
    tables = phrase_tables(config(), ["man", "horse"], ["on", "riding"], ("sp", "spo"))
    for level in ("sp", "spo"):
        torch.testing.assert_close(tables[level], class_table(bank.vectors(level, ["man", "horse"], ["on", "riding"])))


def test_an_unknown_library_is_refused(config):
    node = config(language={"LIBRARY": "word2vec"}).MODEL.LANGUAGE
    with pytest.raises(LanguageError, match=r"LANGUAGE.LIBRARY is 'word2vec'"):
        bank_from_config(node, OBJECTS, PREDICATES, ("sp", "po"), torch.device("cpu"))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"objects": None}, "needs the array 'objects'; found predicates"),
        ({"subject_predicate": np.ones((3, 3, 5))}, r"subject_predicate has shape \(3, 3, 5\).*\[4, 3, d\]"),
        ({"predicate_object": np.ones((3, 4, 5), dtype=int)}, "predicate_object has shape.*type int"),
        ({"predicate_object": np.full((3, 4, 5), np.nan)}, "(zero or have no width|nan or infinite)"),
        ({"subject_predicate": np.zeros((4, 3, 5))}, "(zero or have no width|nan or infinite)"),
    ],
)
def test_a_file_that_is_no_bank_is_refused(foreign, tmp_path, change, message):
    foreign.save(str(tmp_path / "bank.npz"))
    with np.load(tmp_path / "bank.npz") as file:
        contents = {name: array for name, array in {**file, **change}.items() if array is not None}
    np.savez(tmp_path / "bank.npz", **contents)
    with pytest.raises(LanguageError, match=message):
        PhraseBank.load(str(tmp_path / "bank.npz"))


def test_a_missing_or_cut_file_is_named(foreign, tmp_path):
    with pytest.raises(LanguageError, match=r"BANK_FILE: there is no file"):
        PhraseBank.load(str(tmp_path / "none.npz"))
    foreign.save(str(tmp_path / "bank.npz"))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "bank.npz").read_bytes()[:300])
    np.save(tmp_path / "array.npy", np.ones(3))
    with pytest.raises(LanguageError, match=r"cut.npz: not an npz file"):
        PhraseBank.load(str(tmp_path / "cut.npz"))
    with pytest.raises(LanguageError, match=r"array.npy: not an npz file"):
        PhraseBank.load(str(tmp_path / "array.npy"))
