"""Prebuilding a phrase bank and listing synonyms, from the command line."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from small_run import write_config
from support import PARITY

from maskrcnn_benchmark.data.datasets.vg_format import load_info
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


@pytest.fixture
def list_synonyms(run_here, monkeypatch):
    """Run the tool: (exit status, standard output, standard error)."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))  # where the one tool finds the other
    return lambda *arguments: run_here("list_synonyms", *arguments)


def test_synonyms_are_listed_with_what_makes_them(list_synonyms, dictionary, tmp_path):
    """Without a training set only the lists say which they are."""
    vectors = np.array([[np.cos(angle), np.sin(angle)] for angle in (0.0, 0.2, 1.3)])
    arrays = {"sp": np.tile(vectors, (3, 1, 1)), "po": np.repeat(vectors[:, None], 3, axis=1)}
    PhraseBank(OBJECTS, PREDICATES, {}, arrays).save(str(tmp_path / "bank.npz"))
    arguments = ["--dictionary", dictionary, "--rows", 2, LANGUAGE + "BANK_FILE", tmp_path / "bank.npz"]
    lines = list_synonyms(*arguments)[1].splitlines()
    assert lines[0] == "most alike of 3 pairs of predicates:" and re.fullmatch(r"   0\.9\d\d  wearing, wears", lines[1])
    assert len(lines) == 5 and lines[3:] == ["vg150: 1 groups", "  wearing, wears"]
    path = tmp_path / "mine.txt"
    path.write_text("on, wearing")
    _, out, _ = list_synonyms(*arguments, RELCLIP + "SYNONYMS", path)
    assert f"{path}: 1 groups\n  on, wearing\n" in out
    path.write_text("on, waering")
    status, _, error = list_synonyms(*arguments, RELCLIP + "SYNONYMS", path)
    assert status == 1 and error.count("\n") == 1
    assert f"{path}, line 1: the data set has no predicate 'waering'; the nearest that it has is 'wearing'." in error


def test_synonyms_are_judged_by_a_training_set(list_synonyms, tmp_path):
    """In every image of two relations or more, one pair of boxes gets the first two predicates."""
    data = tmp_path / "datasets" / "vg"
    shutil.copytree(PARITY / "vg", data)
    (roidb_file,), (dict_file,) = data.glob("*.h5"), data.glob("*dicts*.json")
    with h5py.File(roidb_file, "r+") as h5:
        first, last = h5["img_to_first_rel"][:], h5["img_to_last_rel"][:]
        for i in np.flatnonzero(last > first):
            h5["relationships"][first[i] + 1] = h5["relationships"][first[i]]
            h5["predicates"][first[i] : first[i] + 2] = [[1], [2]]
    objects, predicates = (names[1:] for names in load_info(dict_file)[:2])
    bank = PhraseBank.random(objects, predicates, ("sp", "po"), seed=0)
    bank.arrays["sp"][:, 1], bank.arrays["po"][1] = bank.arrays["sp"][:, 0], bank.arrays["po"][0]  # one phrase
    bank.save(str(tmp_path / "bank.npz"))
    config = write_config(tmp_path, predictor="RelCLIPPredictor")

    arguments = ["--config-file", config, LANGUAGE + "BANK_FILE", tmp_path / "bank.npz"]
    out = list_synonyms(*arguments)[1]
    names = ", ".join(predicates[:2])
    assert re.search(rf"^   1\.000  {names}: together on \d+ pairs of boxes, \d+\.\d by chance$", out, re.MULTILINE)
    assert f"judged, from 0.75: 1 groups\n  {names}\n" in out
    with h5py.File(roidb_file, "r+") as h5:
        h5["predicate_weights"] = np.ones(len(h5["predicates"]))
    out = list_synonyms(*arguments)[1]
    assert "judged: nothing" in out and "together" not in out


def test_without_names_or_weights_there_is_one_sentence(dictionary, tmp_path):
    out = run("build_phrase_bank.py", status=1)
    assert out.startswith("error: give --dictionary")
    out = run("build_phrase_bank.py", "--dictionary", dictionary, LANGUAGE + "NAME", "/no/clip.pt", status=1)
    assert out.startswith("error: ") and "there is no file /no/clip.pt" in out
