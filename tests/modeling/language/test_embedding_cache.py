"""What is on disk equals what was embedded, is found without CLIP, and is made anew when anything changes."""

import multiprocessing

import numpy as np
import pytest
import torch

from maskrcnn_benchmark.modeling.language import embedding_cache as module
from maskrcnn_benchmark.modeling.language.embedding_cache import EmbeddingCache, write_file
from maskrcnn_benchmark.modeling.language.errors import LanguageError
from maskrcnn_benchmark.modeling.language.text_encoder import EncoderSpec

PHRASES = [["a cat on it", "a dog on it", "a cat in it"], ["cat on", "dog on", "cat in"]]


@pytest.fixture
def cache(tiny_clip, tmp_path):
    return EmbeddingCache(EncoderSpec("clip", str(tiny_clip)), str(tmp_path / "cache"), torch.device("cpu"))


@pytest.fixture
def built(monkeypatch):
    """A list that grows whenever something is embedded."""
    calls, embed_phrases = [], module.embed_phrases
    monkeypatch.setattr(module, "embed_phrases", lambda *args: calls.append(1) or embed_phrases(*args))
    return calls


def test_embeddings_are_unit_means_over_templates(cache):
    found = cache.embed(PHRASES, "tests")
    encoder = module.load_text_encoder(cache.spec, cache.device)
    mean = (encoder.encode(PHRASES[0]) + encoder.encode(PHRASES[1])) / 2
    np.testing.assert_allclose(found, mean / mean.norm(dim=1, keepdim=True), atol=1e-6)


def test_batches_do_not_change_the_embeddings(cache, tiny_clip, tmp_path, monkeypatch):
    found = cache.embed(PHRASES, "tests")
    monkeypatch.setattr(module, "PHRASES_AT_ONCE", 2)
    other = EmbeddingCache(EncoderSpec("clip", str(tiny_clip)), str(tmp_path / "other"), torch.device("cpu"))
    np.testing.assert_allclose(other.embed(PHRASES, "tests"), found, atol=1e-6)


def test_what_is_cached_equals_what_was_built(cache, built):
    assert not cache.holds(PHRASES)
    first = cache.embed(PHRASES, "tests")
    assert cache.holds(PHRASES) and not cache.holds(PHRASES[:1]) and not cache.holds(PHRASES, np.float16)
    assert np.array_equal(cache.embed(PHRASES, "tests"), first)
    assert len(built) == 1


def test_a_template_a_name_or_the_type_makes_new_embeddings(cache, built):
    cache.embed(PHRASES, "tests")
    cache.embed(PHRASES[:1], "tests")
    cache.embed([[*PHRASES[0][:2], "a cow in it"]], "tests")
    assert cache.embed(PHRASES, "tests", np.float16).dtype == np.float16
    assert len(built) == 4


def test_a_weight_or_the_version_of_the_library_makes_new_embeddings(cache, built, tiny_clip, tmp_path, monkeypatch):
    cache.embed(PHRASES, "tests")
    state = torch.load(tiny_clip, weights_only=True)
    state["ln_final.bias"][3] += 1
    torch.save(state, tmp_path / "changed.pt")
    EmbeddingCache(EncoderSpec("clip", str(tmp_path / "changed.pt")), cache.folder, cache.device).embed(
        PHRASES, "tests"
    )
    assert len(built) == 2
    monkeypatch.setattr(EncoderSpec, "library_version", lambda self: "99.0")
    cache.embed(PHRASES, "tests")
    assert len(built) == 3


def test_without_the_library_the_newest_file_serves(cache, built, monkeypatch):
    first = cache.embed(PHRASES, "tests")
    monkeypatch.setattr(EncoderSpec, "library_version", lambda self: None)
    monkeypatch.setitem(__import__("sys").modules, "clip", None)
    assert np.array_equal(cache.embed(PHRASES, "tests"), first)
    with pytest.raises(LanguageError, match=r"pip install clip-anytorch"):
        cache.embed(PHRASES[:1], "tests")
    assert len(built) == 1


def test_a_damaged_file_is_made_again(cache, built, plugin_log):
    first = cache.embed(PHRASES, "tests")
    (path,) = (p for p in __import__("pathlib").Path(cache.folder).iterdir() if p.suffix == ".npy")
    path.write_bytes(path.read_bytes()[:-20])
    assert np.array_equal(cache.embed(PHRASES, "tests"), first)
    assert len(built) == 2
    assert f"{path} is damaged" in plugin_log.text


def test_progress_is_logged(cache, monkeypatch, plugin_log):
    monkeypatch.setattr(module, "PHRASES_AT_ONCE", 1)
    clock = iter(range(0, 1000, 11))
    monkeypatch.setattr(module.time, "time", lambda: next(clock))
    cache.embed(PHRASES, "tests")
    assert "1 of 3 phrases of tests" in plugin_log.text and "2 of 3" in plugin_log.text


def test_a_folder_that_cannot_be_written_is_named(tiny_clip, tmp_path):
    (tmp_path / "file").write_text("")
    cache = EmbeddingCache(EncoderSpec("clip", str(tiny_clip)), str(tmp_path / "file"), torch.device("cpu"))
    with pytest.raises(LanguageError, match=r"CACHE_DIR: cannot write to the folder .*file"):
        cache.embed(PHRASES, "tests")


def test_an_interrupted_write_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        write_file(str(tmp_path / "file"), lambda file: (file.write(b"half"), (_ for _ in ()).throw(KeyboardInterrupt)))
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"


class SlowEncoder:
    """Takes a while, and leaves a line in a file each time it is used."""

    def __init__(self, log):
        self.log = log

    def encode(self, phrases):
        with open(self.log, "a") as file:
            file.write("used\n")
        module.time.sleep(0.3)
        return torch.eye(len(phrases))


def embed_in_a_process(cache, log, start):
    torch.set_num_threads(1)
    module.load_text_encoder = lambda *args: SlowEncoder(log)
    start.wait()
    assert np.array_equal(cache.embed(PHRASES[:1], "tests"), np.eye(3))


@pytest.mark.skipif(module.fcntl is None, reason="this system has no file locks")
def test_of_processes_that_start_together_one_embeds(cache, tmp_path):
    context = multiprocessing.get_context("fork")
    start = context.Barrier(4)
    arguments = (cache, tmp_path / "log", start)
    processes = [context.Process(target=embed_in_a_process, args=arguments) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    assert (tmp_path / "log").read_text() == "used\n"
