"""Prebuilding a phrase bank and listing synonyms, from the command line."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from maskrcnn_benchmark.modeling.language.phrase_bank import PhraseBank

ROOT = Path(__file__).resolve().parents[2]
RELCLIP, LANGUAGE = "MODEL.ROI_RELATION_HEAD.RELCLIP.", "MODEL.LANGUAGE."
OBJECTS, PREDICATES = ["man", "elephant", "traffic_light"], ["wearing", "wears", "on"]


@pytest.fixture
def dictionary(tmp_path):
    path = tmp_path / "dicts.json"
    names = {"label_to_idx": OBJECTS, "predicate_to_idx": PREDICATES, "attribute_to_idx": ["red"]}
    path.write_text(json.dumps({key: {n: i + 1 for i, n in enumerate(value)} for key, value in names.items()}))
    return path


def run(tool, *arguments, status=0):
    command = [sys.executable, str(ROOT / "tools" / tool), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


def test_a_prebuilt_bank_serves_as_cache_and_as_file(dictionary, tmp_path):
    model = pytest.importorskip("clip.model")
    torch.manual_seed(0)
    torch.save(model.CLIP(16, 32, 1, 64, 32, 24, 49408, 32, 1, 2).state_dict(), tmp_path / "clip.pt")
    options = [LANGUAGE + "NAME", tmp_path / "clip.pt", LANGUAGE + "CACHE_DIR", tmp_path / "cache"]
    options += [RELCLIP + "TEST_PREDICATES", "('on', 'chasing')"]
    arguments = ["--dictionary", dictionary, "--output", tmp_path / "bank.npz", *options]
    out = run("build_phrase_bank.py", *arguments)
    assert "sp: 3 x 4 phrases, 16 dimensions" in out and "po: 4 x 3 phrases" in out
    bank = PhraseBank.load(str(tmp_path / "bank.npz"))
    assert bank.objects == ["man", "elephant", "traffic light"] and bank.predicates == [*PREDICATES, "chasing"]
    assert len(bank.templates["sp"]) == 3

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").glob("*.npy")}
    run("build_phrase_bank.py", *arguments)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").glob("*.npy")} == before


def test_a_random_bank_needs_no_text_encoder(dictionary, tmp_path):
    arguments = ["--dictionary", dictionary, "--random", 3]
    banks = []
    for name in ("a.npz", "b.npz"):
        run("build_phrase_bank.py", *arguments, "--output", tmp_path / name)
        banks.append(PhraseBank.load(str(tmp_path / name)))
    assert banks[0].arrays["sp"].shape == (3, 3, 512) and banks[0].arrays["po"].shape == (3, 3, 512)
    np.testing.assert_array_equal(banks[0].arrays["sp"], banks[1].arrays["sp"])
    cosines = np.corrcoef(banks[0].arrays["sp"].reshape(9, -1))[np.triu_indices(9, 1)]
    assert np.abs(cosines).max() < 0.25
    assert "--output" in run("build_phrase_bank.py", *arguments, status=1)


def test_synonyms_are_listed_at_every_threshold(dictionary, tmp_path):
    angles = {"wearing": 0.0, "wears": 0.2, "on": 1.3}  # cos 0.2 = 0.980, cos 1.1 = 0.454
    vectors = np.array([[np.cos(a), np.sin(a)] for a in angles.values()])
    arrays = {"sp": np.tile(vectors, (3, 1, 1)), "po": np.repeat(vectors[:, None], 3, axis=1)}
    PhraseBank(OBJECTS, PREDICATES, {}, arrays).save(str(tmp_path / "bank.npz"))
    bank = [LANGUAGE + "BANK_FILE", tmp_path / "bank.npz"]
    out = run("list_synonyms.py", "--dictionary", dictionary, "--threshold", "0.4", "--threshold", "0.97", *bank)
    assert "similarity 0.267 to 0.980" in out
    assert "0.97: 1 groups\n    wearing | wears   (wearing ~ wears 0.980)" in out
    assert "0.4: 1 groups\n    wearing | wears | on   (wearing ~ wears 0.980, wears ~ on 0.454)" in out
    assert "just above: man wearing ~ man wears 0.980" in out
    assert "just below: man wears ~ man on 0.454" in out
    # 3 of 3 pairs of predicates for 3 classes, and 3 pairs of classes for 3 predicates, which are all alike
    assert "0.97: 12 of 18 pairs are synonyms" in out and "wearing man ~ wears man" in out


def test_related_pairs_equal_a_loop(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    spec = importlib.util.spec_from_file_location("list_synonyms", ROOT / "tools" / "list_synonyms.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setattr(tool, "ROWS_AT_ONCE", 5)
    table = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0))
    similarity, pairs = tool.related_similarities(table)
    expected = {}
    phrases = [(g, p) for g in range(1, 4) for p in range(1, 5)]
    for i, a in enumerate(phrases):
        for b in phrases[i + 1 :]:
            if (a[0] == b[0]) != (a[1] == b[1]):
                expected[a, b] = float(table[a] @ table[b])
    found = {tuple(map(tuple, pair)): float(s) for pair, s in zip(pairs.tolist(), similarity, strict=True)}
    assert found.keys() == expected.keys()
    assert all(abs(found[key] - expected[key]) < 1e-5 for key in expected)
    assert tool.connected_groups(torch.tensor([[0, 1, 0, 0], [1, 0, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0]]).bool()) == [
        [0, 1, 3]
    ]


def test_without_names_or_weights_there_is_one_sentence(dictionary, tmp_path):
    out = run("build_phrase_bank.py", status=1)
    assert out.startswith("error: give --dictionary")
    out = run("build_phrase_bank.py", "--dictionary", dictionary, LANGUAGE + "NAME", "/no/clip.pt", status=1)
    assert out.startswith("error: ") and "there is no file /no/clip.pt" in out
