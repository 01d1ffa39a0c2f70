"""Word vectors from GloVe's files, from SGB's cache of them, at random, and from a text encoder."""

import logging

import numpy as np
import pytest
import torch
from support import HEAD, parity_config

from maskrcnn_benchmark.modeling.roi_heads.relation_head import utils_motifs
from maskrcnn_benchmark.modeling.roi_heads.relation_head.utils_motifs import (
    load_word_vectors,
    obj_edge_vectors,
    object_word_vectors,
    predicate_word_vectors,
    principal_components,
    rel_vectors,
)
from maskrcnn_benchmark.utils.errors import InputError

WORDS = {"dog": [1.0, 2.0], "traffic": [0.5, -0.5], "light": [3.0, 3.0], "of": [9.0, 9.0]}


@pytest.fixture
def glove(tmp_path):
    text = "".join(f"{word} {' '.join(map(str, vector))}\n" for word, vector in WORDS.items())
    (tmp_path / "glove.6B.2d.txt").write_bytes(text.encode() + b"\xff\xfe 7.0 7.0\n")
    return tmp_path


def test_text_is_read_once_and_cached(glove):
    index, vectors, width = load_word_vectors(str(glove), "glove.6B", 2)
    assert width == 2 and vectors[index["traffic"]].tolist() == [0.5, -0.5]
    (glove / "glove.6B.2d.txt").unlink()
    again, cached, _ = load_word_vectors(str(glove), "glove.6B", "2d")
    assert again == index and torch.equal(cached, vectors)
    assert [path.name for path in glove.iterdir()] == ["glove.6B.2d.pt"]


def test_a_cache_that_the_original_wrote_is_read(tmp_path):
    torch.save(({"cat": 0}, torch.tensor([[4.0, 5.0]]), 2), tmp_path / "glove.6B.2d.pt")
    assert obj_edge_vectors(["cat"], str(tmp_path), wv_dim=2).tolist() == [[4.0, 5.0]]


@pytest.mark.parametrize("content", (b"", b"not a checkpoint", None), ids=("empty", "text", "cut"))
def test_a_damaged_cache_is_named(tmp_path, content):
    cache = tmp_path / "glove.6B.2d.pt"
    torch.save(({"cat": 0}, torch.zeros(1, 2), 2), cache)
    cache.write_bytes(cache.read_bytes()[:-100] if content is None else content)
    with pytest.raises(InputError, match=r"glove\.6B\.2d\.pt cannot be read .*; delete it"):
        load_word_vectors(str(tmp_path), "glove.6B", 2)


def test_a_folder_that_cannot_be_written_costs_only_the_cache(glove, monkeypatch, caplog):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(utils_motifs, "atomic_write", refuse)
    with caplog.at_level(logging.WARNING):
        index, _, _ = load_word_vectors(str(glove), "glove.6B", 2)
    assert "dog" in index and "stay uncached" in caplog.text


def test_composed_names_take_their_longest_word_and_unknown_ones_a_fixed_random_vector(glove, caplog):
    names = ["dog", "traffic light", "zzz", "light of"]
    with caplog.at_level(logging.WARNING):
        vectors = obj_edge_vectors(names, str(glove), wv_dim=2)
    assert vectors[[0, 1, 3]].tolist() == [WORDS["dog"], WORDS["traffic"], WORDS["light"]]
    assert "zzz" in caplog.text
    assert torch.equal(obj_edge_vectors(["zzz"], str(glove), wv_dim=2)[0], vectors[2])


def test_predicates_take_the_mean_of_their_words_and_the_background_a_fixed_random_vector(glove):
    names = ["dog", "light", "traffic of zzz light", "zzz"]
    vectors = rel_vectors(names, str(glove), wv_dim=2)
    assert vectors[1].tolist() == WORDS["light"]
    expected = torch.tensor([WORDS[word] for word in ("traffic", "of", "light")]).mean(dim=0)
    torch.testing.assert_close(vectors[2], expected)
    again = rel_vectors(["dog", "zzz"], str(glove), wv_dim=2)
    assert torch.equal(again, vectors[[0, 3]]) and vectors[0].tolist() != WORDS["dog"]


def test_missing_files_are_named_with_what_to_do(tmp_path):
    with pytest.raises(InputError, match=r"glove\.6B\.200d\.txt.*nlp\.stanford\.edu/data/glove\.6B\.zip"):
        obj_edge_vectors(["dog"], str(tmp_path), wv_dim=200)


@pytest.mark.parametrize("text", ("dog 1.0 2.0\ncat 1.0", "dog 1.0 2.0\ncat 1.0 x", "dog 1.0 2.0\n\n"), ids=repr)
def test_a_file_that_is_cut_short_is_named(tmp_path, text):
    (tmp_path / "glove.6B.2d.txt").write_text(text)
    with pytest.raises(InputError, match=r"glove\.6B\.2d\.txt, line 2"):
        load_word_vectors(str(tmp_path), "glove.6B", 2)
    assert not (tmp_path / "glove.6B.2d.pt").exists()


def test_an_empty_file_is_named(tmp_path):
    (tmp_path / "glove.6B.2d.txt").touch()
    with pytest.raises(InputError, match="is empty"):
        load_word_vectors(str(tmp_path), "glove.6B", 2)


def config_with(kind):
    return parity_config(extra=[HEAD + "WORD_EMBEDDING", kind])


def test_random_vectors_depend_on_the_name_only():
    vectors = object_word_vectors(config_with("random"), ["dog", "cat"])
    assert vectors.shape == (2, 20)
    torch.manual_seed(5)
    assert torch.equal(object_word_vectors(config_with("random"), ["cat"])[0], vectors[1])


def test_glove_is_looked_up_in_glove_dir(glove):
    config = parity_config(extra=["GLOVE_DIR", str(glove), HEAD + "EMBED_DIM", 2])
    assert object_word_vectors(config, ["dog"]).tolist() == [WORDS["dog"]]


def test_an_unknown_kind_is_named():
    with pytest.raises(InputError, match="'bert'; choose glove, clip or random"):
        object_word_vectors(config_with("bert"), ["dog"])


def test_clip_embeds_the_names(monkeypatch):
    asked = []

    class Cache:
        def embed(self, templated, what):
            asked.extend(templated)
            return np.eye(8, dtype=np.float32)[: len(templated[0])]

    monkeypatch.setattr(utils_motifs, "embedding_cache", lambda node, device: Cache())
    vectors = object_word_vectors(config_with("clip"), ["dog", "ear", "traffic_light"])
    assert asked == [["a photo of a dog", "a photo of an ear", "a photo of a traffic light"]]
    assert vectors.shape == (3, 20)
    distances = torch.cdist(vectors, vectors)
    torch.testing.assert_close(distances[0, 1], distances[1, 2])


def test_principal_components_keep_what_varies_most():
    g = torch.Generator().manual_seed(0)
    directions = torch.linalg.qr(torch.randn(6, 6, generator=g))[0]
    rows = torch.randn(50, 6, generator=g) * torch.tensor([9.0, 5.0, 0.01, 0.01, 0.01, 0.01]) @ directions + 3
    kept = principal_components(rows, 2)
    torch.testing.assert_close(
        kept.std(dim=0, correction=0)[0] / kept.std(dim=0, correction=0)[1], torch.tensor(1.8), atol=0.4, rtol=0
    )
    assert kept.square().mean().sqrt() == pytest.approx(utils_motifs.SPREAD, rel=1e-5)
    wide = principal_components(rows[:3], 10)
    assert wide.shape == (3, 10) and not wide[:, 3:].any()


def test_embeddings_of_predicates_can_have_a_width_of_their_own(glove):
    config = config_with("glove")
    config.GLOVE_DIR = str(glove)
    vectors = predicate_word_vectors(config, ["background", "of"], 2)
    assert vectors[1].tolist() == WORDS["of"]
    assert object_word_vectors(config, ["dog"], 2).tolist() == [WORDS["dog"]]
    assert predicate_word_vectors(config_with("random"), ["of"], 7).shape == (1, 7)
