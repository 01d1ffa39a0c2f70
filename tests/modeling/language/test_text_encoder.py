"""Text towers: the cut and shared one against the library's full one; where weights come from; what is refused."""

import json
import sys
import urllib.error

import pytest
import torch
from torch.nn import functional as F

from maskrcnn_benchmark.modeling.language.errors import LanguageError
from maskrcnn_benchmark.modeling.language.text_encoder import (
    EncoderSpec,
    load_text_encoder,
    prefix_tree,
    read_clip_weights,
)

CPU = torch.device("cpu")
PHRASES = [
    "a photo of a man riding something",
    "a photo of a man riding",
    "a photo of an elephant standing on something",
    "a photo of something parked in front of a windshield",
    "horse",
    "a photo of a man riding something",
]


def load_tiny(tiny_clip):
    model = pytest.importorskip("clip.model").CLIP(16, 32, 1, 64, 32, 24, 49408, 64, 1, 2).eval()
    model.load_state_dict(torch.load(tiny_clip, weights_only=True))
    return model


@torch.no_grad()
def full_tower(model, phrases, context):
    import clip

    return F.normalize(model.encode_text(clip.tokenize(phrases, context_length=context)).float(), dim=-1)


def test_cut_tower_equals_the_full_one(tiny_clip):
    encoder = load_text_encoder(EncoderSpec("clip", str(tiny_clip)), CPU)
    expected = full_tower(load_tiny(tiny_clip), PHRASES, 24)
    torch.testing.assert_close(encoder.encode(PHRASES), expected, atol=1e-5, rtol=0)
    for phrase, row in zip(PHRASES, expected, strict=True):  # alone, so cut to its own length
        torch.testing.assert_close(encoder.encode([phrase])[0], row, atol=1e-5, rtol=0)


def test_cut_tower_equals_the_full_one_at_77_tokens_with_several_heads(tmp_path):
    model = pytest.importorskip("clip.model")
    torch.manual_seed(1)
    reference = model.CLIP(24, 32, 1, 64, 32, 77, 49408, 128, 2, 3).eval()
    torch.save(reference.state_dict(), tmp_path / "clip.pt")
    encoder = load_text_encoder(EncoderSpec("clip", str(tmp_path / "clip.pt")), CPU)
    torch.testing.assert_close(encoder.encode(PHRASES), full_tower(reference, PHRASES, 77), atol=1e-5, rtol=0)


def test_every_beginning_is_one_node():
    tokens = torch.tensor([[7, 1, 2, 9, 0], [7, 1, 3, 4, 9], [7, 1, 2, 9, 0], [7, 2, 9, 0, 0]])
    tree = prefix_tree(tokens)
    assert tree.token.tolist() == [7, 1, 2, 2, 3, 9, 9, 4, 9]
    assert tree.depth.tolist() == [0, 1, 1, 2, 2, 2, 3, 3, 4]
    assert tree.end.tolist() == [6, 8, 6, 5]
    assert tree.ancestors[4].tolist() == [[0, 1, 4, 7, 8]]


def test_a_torchscript_archive_gives_the_same_weights(tiny_clip, tmp_path):
    model = load_tiny(tiny_clip)
    tokens = torch.zeros(2, 24, dtype=torch.int64)
    torch.jit.trace_module(model, {"encode_text": tokens}, check_trace=False).save(tmp_path / "archive.pt")
    archive = load_text_encoder(EncoderSpec("clip", str(tmp_path / "archive.pt")), CPU)
    assert torch.equal(
        archive.encode(PHRASES), load_text_encoder(EncoderSpec("clip", str(tiny_clip)), CPU).encode(PHRASES)
    )


def test_phrases_longer_than_the_context_are_named(tiny_clip):
    encoder = load_text_encoder(EncoderSpec("clip", str(tiny_clip)), CPU)
    with pytest.raises(LanguageError, match=r"TEMPLATES.*man man man"):
        encoder.encode(["man " * 30])


def test_identity_follows_the_weights_not_the_path(tiny_clip, tmp_path):
    copy = tmp_path / "copy.pt"
    copy.write_bytes(tiny_clip.read_bytes())
    assert EncoderSpec("clip", str(copy)).identity() == EncoderSpec("clip", str(tiny_clip)).identity()
    copy.write_bytes(tiny_clip.read_bytes() + b"x")
    assert EncoderSpec("clip", str(copy)).identity() != EncoderSpec("clip", str(tiny_clip)).identity()
    assert EncoderSpec("clip", "ViT-B/32").identity() == "clip:ViT-B/32:"


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(LanguageError, match=r"LANGUAGE.NAME: there is no file /no/such/clip.pt"):
        EncoderSpec("clip", "/no/such/clip.pt").identity()


def test_an_unknown_name_lists_the_known_ones():
    pytest.importorskip("clip")
    with pytest.raises(LanguageError, match=r"no model 'ViT-B-33'.*ViT-B/32"):
        load_text_encoder(EncoderSpec("clip", "ViT-B-33"), CPU)


def test_an_impossible_download_says_where_the_weights_are(monkeypatch):
    clip = pytest.importorskip("clip")

    def no_network(*args, **kwargs):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(clip, "load", no_network)
    with pytest.raises(LanguageError, match=r"no route to host.*https://.*ViT-B-32.pt.*~/.cache/clip") as error:
        load_text_encoder(EncoderSpec("clip", "ViT-B/32"), CPU)
    assert error.value.user_input


def test_a_missing_library_says_how_to_install_it(monkeypatch, tiny_clip):
    monkeypatch.setitem(sys.modules, "clip", None)
    with pytest.raises(LanguageError, match=r"pip install clip-anytorch.*BANK_FILE"):
        load_text_encoder(EncoderSpec("clip", str(tiny_clip)), CPU)


class Trap:
    def __reduce__(self):
        return print, ("this must not run",)


def test_nothing_in_a_weights_file_is_run(tmp_path, capsys):
    torch.save({"weights": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(LanguageError, match=r"neither a TorchScript archive nor a plain state dict"):
        read_clip_weights(str(tmp_path / "trap.pt"))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [[1, 2], {"a": "b"}])
def test_a_file_without_tensors_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(LanguageError, match=r"expected a state dict"):
        read_clip_weights(str(tmp_path / "other.pt"))


def test_weights_of_another_model_are_refused(tmp_path):
    pytest.importorskip("clip")
    torch.save({"fc.weight": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(LanguageError, match=r"token_embedding.weight is missing.*fc.weight"):
        load_text_encoder(EncoderSpec("clip", str(tmp_path / "other.pt")), CPU)


@pytest.fixture
def tiny_open_clip(tmp_path):
    """open_clip with a tiny architecture of its own, and the path of random weights for it."""
    open_clip = pytest.importorskip("open_clip")
    text = {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    vision = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 32}
    architecture = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}
    (tmp_path / "tiny-relclip.json").write_text(json.dumps(architecture))
    both_ways = {**architecture, "text_cfg": {**text, "no_causal_mask": True, "pool_type": "last"}, "custom_text": True}
    (tmp_path / "tiny-relclip-bidirectional.json").write_text(json.dumps(both_ways))
    open_clip.add_model_config(tmp_path)
    return open_clip, tmp_path


@pytest.mark.parametrize("name", ["tiny-relclip", "tiny-relclip-bidirectional"])
def test_open_clip_gives_what_its_own_model_gives(tiny_open_clip, name):
    open_clip, folder = tiny_open_clip
    torch.manual_seed(2)
    model = open_clip.create_model(name).eval()
    torch.save(model.state_dict(), folder / "weights.pt")
    encoder = load_text_encoder(EncoderSpec("open_clip", name, str(folder / "weights.pt")), CPU)
    with torch.no_grad():
        expected = F.normalize(model.encode_text(open_clip.get_tokenizer(name)(PHRASES)), dim=-1)
    torch.testing.assert_close(encoder.encode(PHRASES), expected, atol=1e-5, rtol=0)


def test_open_clip_without_such_weights_says_what_there_is(tiny_open_clip):
    with pytest.raises(LanguageError, match=r"open_clip cannot load NAME 'tiny-relclip' with PRETRAINED 'moon'"):
        load_text_encoder(EncoderSpec("open_clip", "tiny-relclip", "moon"), CPU)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"text_projection": torch.ones(64, 7)}, "its text tower embeds in 7 numbers and its image tower in 16"),
        ({}, "the text tower has no layer"),
    ],
)
def test_a_tower_without_layers_or_of_another_model_is_refused(tmp_path, change, message):
    model = pytest.importorskip("clip.model")
    torch.manual_seed(0)
    state = {**model.CLIP(16, 32, 1, 64, 32, 24, 49408, 64, 1, 1).state_dict(), **change}
    if not change:
        state = {name: value for name, value in state.items() if "transformer.resblocks" not in name}
    torch.save(state, tmp_path / "clip.pt")
    with pytest.raises(LanguageError, match=message):
        load_text_encoder(EncoderSpec("clip", str(tmp_path / "clip.pt")), torch.device("cpu"))
