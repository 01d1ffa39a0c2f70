"""score_predictions.py as its users call it, and what compare.py makes of its output."""

import json

from evaluation.scoring.world import custom, make_truth, perfect, write


def test_foreign_predictions_stand_beside_others_of_the_same_protocol(run_here, tmp_path):
    truth = make_truth()
    annotations = write(tmp_path / "truth.json", truth)
    worse = perfect(truth)
    for graph in list(worse.values())[::3]:
        graph["relations"] = graph["relations"][:2]
    files = {"Theirs": custom(tmp_path, truth), "Ours": write(tmp_path / "ours.json", worse)}
    for name, path in files.items():
        status, out, error = run_here(
            "score_predictions", "--ground-truth", annotations, "--predictions", path, "--protocol", "visualds",
            "--set", "k=5,50", "--name", name, "--output", tmp_path / name,
        )  # fmt: skip
        assert status == 0, error
        assert "name=visualds with k=5/50" in out and "note: the task is sgdet" in out
    summary = json.loads((tmp_path / "Theirs" / "inference" / "truth" / "evaluation.json").read_text())
    assert summary["metrics"]["R@5"] == 1.0 and summary["protocol"]["ground_truth"] == "distinct"
    assert summary["protocol"]["split"]["with_relations"] == 30
    assert any(line.startswith("boxes were scaled") for line in summary["notes"])
    assert summary["intervals"]["metrics"]["R@5"] == [1.0, 1.0]

    folders = [tmp_path / name for name in files]
    status, out, error = run_here("compare", *folders, "--reference", "Theirs", "--output", tmp_path / "report")
    assert status == 0, error
    assert "| Theirs | full | no | not known | 1 | **100.0** |" in out and "ground_truth=distinct" in out
    (row,) = (line for line in out.splitlines() if line.startswith("| Ours") and "1 of 1" in line)
    difference, interval, above = row.split(" | ")[5:8]
    low, high = (float(end) for end in interval.split(" to "))
    assert 0 < low < float(difference) < high and above == "1 of 1"

    status, _, error = run_here(
        "score_predictions", "--ground-truth", annotations, "--predictions", files["Theirs"],
        "--output", tmp_path / "other", "--set", "k=5,50", "--export-sgbench", tmp_path / "export",
    )  # fmt: skip
    assert status == 0, error
    assert len(json.loads((tmp_path / "export" / "predictions.json").read_text())["images"]) == 30
    status, _, error = run_here("compare", tmp_path / "Ours", tmp_path / "other", "--output", tmp_path / "no")
    assert status == 1 and "whose ground_truth is distinct and all" in error


def test_wrong_input_is_one_sentence(run_here, tmp_path):
    annotations = write(tmp_path / "truth.json", make_truth(2))
    for arguments, message in (
        (("--predictions", tmp_path / "none.json"), "none.json does not exist"),
        (("--predictions", annotations, "--protocol", "mine"), "--protocol is mine; it must be one of sgb"),
        (("--predictions", annotations, "--set", "k=0"), "protocol's k is (0,)"),
        (("--predictions", annotations, "--novel", "flying"), "list of novel predicates names 'flying'"),
    ):
        status, _, error = run_here(
            "score_predictions", "--ground-truth", annotations, "--output", tmp_path / "out", *arguments
        )
        assert status == 1 and error.splitlines()[-1].startswith("error: ") and message in error
        assert not (tmp_path / "out").exists()
