"""The tools of distant supervision as their users call them; rounds of EM that are killed and go on."""

import json
import os
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
import torch
from small_run import ROOT, command, write_config
from support import PARITY

from maskrcnn_benchmark.distant.labels import read_arrays, read_labels, training_images

H5 = PARITY / "vg" / "VG-SGG-with-attri.h5"


@pytest.fixture
def base(tmp_path):
    """A knowledge base with what people labelled, and as much that is wrong."""
    arrays = read_arrays(H5)
    labels = read_labels(arrays, training_images(arrays, 10))
    classes = arrays["labels"][:, 0]
    known: dict[str, dict[str, float]] = {}
    for (s, o), p in zip(labels.pairs, labels.predicates, strict=True):
        known.setdefault(f"{classes[s]}_{classes[o]}", {}).update({str(p): 2.0, str(p % 50 + 1): 1.0})
    path = tmp_path / "base.json"
    path.write_text(json.dumps(known))
    return path


def label(run_here, base, folder, *options):
    target = folder / "datasets" / "vg" / H5.name
    arguments = ["--h5", H5, "--knowledge-base", base, "--num-val-im", 10, "--output", target, "--link", "--no-overlap"]
    return target, run_here("distant_label", *arguments, *options)


def test_label_then_weigh_by_clip(run_here, base, tmp_path):
    target, (status, out, error) = label(run_here, base, tmp_path)
    assert status == 0, error
    assert "predicates per pair" in out and "(100.0%)" in out and "(precision)" in out
    assert (target.parent / "image_data.json").exists() and not target.is_symlink()

    model = pytest.importorskip("clip.model")
    torch.manual_seed(0)
    torch.save(model.CLIP(16, 32, 1, 64, 16, 24, 49408, 64, 1, 1).state_dict(), tmp_path / "clip.pt")
    weighted = tmp_path / "weighted.h5"
    options = ["--h5", target, "--num-val-im", 10, "--output", weighted, "--human", H5, "--device", "cpu"]
    options += ["--clip", tmp_path / "clip.pt", "--cache-dir", tmp_path, "--threshold", 0.3]
    status, out, error = run_here("distant_clip_weights", *options)
    assert status == 0, error
    assert "before:" in out and "after:" in out and out.count("(recall)") == 2
    with h5py.File(target) as before, h5py.File(weighted) as after:
        assert 0 < len(after["predicates"]) <= len(before["predicates"])
        assert after["predicate_weights"][:].min() >= 0.3
    status, _, error = run_here("distant_clip_weights", *options[:-1], 7)
    assert status == 1 and "--threshold is 7" in error
    status, _, error = run_here("distant_clip_weights", *options, "--template", "a {subject}")
    assert status == 1 and "must name {subject} and {predicate} and {object}" in error


def test_rows_are_repeated_for_sgb(run_here, base, tmp_path):
    target, (status, _, error) = label(run_here, base, tmp_path, "--repeat-rows", 5)
    assert status == 0, error
    with h5py.File(target) as h5:
        assert (h5["predicate_weights"][:] == 1).all()
        first = h5["img_to_first_rel"][:][h5["split"][:] == 0].max()
        pair = h5["relationships"][first]
        assert (h5["relationships"][first : first + 5] == pair).all()
    status, _, error = label(run_here, base, tmp_path, "--repeat-rows", 0)[1]
    assert status == 1 and "--repeat-rows is 0; it must be 1 or more" in error


def test_wrong_input_gets_one_sentence(run_here, base, tmp_path):
    empty = tmp_path / "empty.json"
    empty.write_text(json.dumps({"150_150": [1]}))
    status, _, error = label(run_here, empty, tmp_path)[1]
    assert status == 1 and "the result would be empty" in error and "Traceback" not in error
    empty.write_text(json.dumps({"clas001_class002": [1]}))
    status, _, error = label(run_here, empty, tmp_path)[1]
    assert status == 1 and "'clas001' (nearest: class001)" in error
    status, _, error = label(run_here, base, tmp_path, "--dictionary", tmp_path / "no.json")[1]
    assert status == 1 and "no.json does not exist" in error
    assert not (tmp_path / "datasets" / "vg" / H5.name).exists()


def test_knowledge_base_from_captions_and_triplets(run_here, tmp_path):
    captions, triplets, output = (tmp_path / name for name in ("captions.jsonl", "triplets.json", "base.json"))
    dictionary = tmp_path / "dictionary.json"
    names = {"label": ["man", "horse"], "predicate": ["riding", "on"]}
    dictionary.write_text(json.dumps({f"{k}_to_idx": {n: i for i, n in enumerate(v, 1)} for k, v in names.items()}))
    captions.write_text('{"caption": "Two men riding horses"}\n"a man rides a horse"\n"a man on a horse"\n"nothing"\n')
    triplets.write_text('[["man", "rides", "horse"], ["man", "eats", "soup"]]')
    arguments = ["--dictionary", dictionary, "--captions", captions, "--triplets", triplets, "--output", output]
    status, out, error = run_here("build_knowledge_base", *arguments, "--compare", output)
    assert status == 0, error
    assert json.loads(output.read_text()) == {"man_horse": {"riding": 3}}
    assert "4 captions, 3 of them with a triplet" in out and "soup (1)" in out and "1 of the 1 triplets" in out
    status, _, error = run_here("build_knowledge_base", *arguments, "--least", 5)
    assert status == 1 and "would be empty" in error
    status, _, error = run_here("build_knowledge_base", "--dictionary", dictionary, "--output", output)
    assert status == 1 and "give --captions or --triplets" in error


# -- EM --------------------------------------------------------------------------------------------------------------
def start_em(config, *options):
    tool, *rest = command("distant_em", config)[1:]
    arguments = ["--rounds", "1", "--first", "given", "--skip-test", "--human", str(H5), *map(str, options)]
    return subprocess.Popen(
        [sys.executable, tool, *rest, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(process):
    _, error = process.communicate(timeout=600)
    return process.returncode, error


def test_killed_rounds_go_on_and_end_as_undisturbed_ones(run_here, base, tmp_path):
    configs = {}
    for name in ("whole", "killed"):
        folder = tmp_path / name
        folder.mkdir()
        assert label(run_here, base, folder)[1][0] == 0
        configs[name] = write_config(folder, SOLVER__MAX_ITER=6, SOLVER__CHECKPOINT_PERIOD=2)
    whole, killed = start_em(configs["whole"]), start_em(configs["killed"])
    output = tmp_path / "killed" / "output"
    # in the middle of the second training: after its first checkpoint
    while killed.poll() is None and not (output / "round_1" / "model" / "last_checkpoint").exists():
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (output / "round_1" / "model" / "model_final.pth").exists()
    first = (output / "round_0" / "model" / "model_final.pth").stat().st_mtime_ns
    status, error = finish(start_em(configs["killed"]))
    assert status == 0, error
    status, error = finish(whole)
    assert status == 0, error
    assert (output / "round_0" / "model" / "model_final.pth").stat().st_mtime_ns == first  # was done, stays

    undisturbed = tmp_path / "whole" / "output"
    for number in (0, 1):
        one, other = (place / f"round_{number}" for place in (undisturbed, output))
        for name, values in read_arrays(one / "data" / "vg" / H5.name).items():
            np.testing.assert_array_equal(values, read_arrays(other / "data" / "vg" / H5.name)[name])
        final, expected = (
            torch.load(place / f"round_{number}" / "model" / "model_final.pth", weights_only=True)
            for place in (output, undisturbed)
        )
        assert final["iteration"] == 6
        for tensor, value in expected["model"].items():
            assert torch.equal(final["model"][tensor], value), (number, tensor)
    report, again = (json.loads((place / "em.json").read_text()) for place in (undisturbed, output))
    assert report == again and [entry["weights"] for entry in report["rounds"]] == ["given", "model of round 0"]
    assert report["rounds"][1]["agreement"]["pairs"] > 0 and 0 <= report["rounds"][1]["changed"] <= 1

    # the second round's weights are the posterior: they sum to one, and are not those given
    images = training_images(read_arrays(H5), 10)
    labels = [read_labels(read_arrays(undisturbed / f"round_{i}" / "data" / "vg" / H5.name), images) for i in (0, 1)]
    np.testing.assert_allclose(np.bincount(labels[1].pair_index(), labels[1].weights), 1, rtol=1e-5)
    assert np.abs(labels[0].weights - labels[1].weights).max() > 1e-3

    status, error = finish(start_em(configs["killed"], "--temperature", 2))
    assert status == 1 and "holds a run with other settings (expectation.temperature)" in error
