"""Intervals over test images against resamples that are evaluated one by one."""

import os

import numpy as np
import pytest
from evaluation.graphs import PREDICATES, random_graphs

from maskrcnn_benchmark.data.datasets.evaluation.vg.bootstrap import (
    interval,
    mean_difference_intervals,
    resample_weights,
    resampled,
)
from maskrcnn_benchmark.data.datasets.evaluation.vg.image_ranks import rank_graph
from maskrcnn_benchmark.data.datasets.evaluation.vg.metrics import (
    GroupMeanRecall,
    PairRecall,
    Recalls,
    RelativeRecall,
    average_all,
)
from maskrcnn_benchmark.data.datasets.evaluation.vg.protocol import PROTOCOLS
from maskrcnn_benchmark.data.datasets.evaluation.vg.rank_table import PART, Part, RankTable

IMAGES = 20


def make_metrics(average, table=None):
    card = PROTOCOLS["sgb"].with_fields(average=average, k=(1, 5))
    groups = {"head": np.array([0, 1])}
    shared = (card, PREDICATES, table or RankTable())
    return [kind(*shared) for kind in (Recalls, PairRecall, RelativeRecall)] + [GroupMeanRecall(groups, *shared)]


def compute_all(metrics):
    """Every metric of the test set itself."""
    found = average_all(metrics, metrics[0].table.parts())
    return {name: value for metric in metrics for name, value in metric.values(found).items()}


def resamples_of(metrics, images=IMAGES, *args, **kwargs):
    return resampled(metrics, metrics[0].table.parts(images), images, *args, **kwargs)


def ranks_of(seed=0):
    graphs = random_graphs(np.random.default_rng(seed), IMAGES)
    return [rank_graph(truth, predicted, "sgdet", PROTOCOLS["sgb"]) for truth, predicted in graphs]


def filled(average, ranks):
    metrics = make_metrics(average)
    for image, one in enumerate(ranks):
        if image % 7 != 6:  # some images do not count
            metrics[0].update(image, one)
    return metrics


@pytest.mark.parametrize("average", ["images", "relations"])
def test_a_resample_is_a_test_set_with_repeated_images(average):
    ranks = ranks_of()
    metrics = filled(average, ranks)
    found = resamples_of(metrics, resamples=12, seed=3)
    (weights,) = resample_weights(IMAGES, 12, 3)
    assert (weights.sum(0) == IMAGES).all()
    present = {p for image in range(IMAGES) if image % 7 != 6 for p in ranks[image]["gt_triplets"][:, 2]}
    assert present == set(range(1, PREDICATES))
    for number, column in enumerate(weights.T):
        again, copies = make_metrics(average), 0
        for image, times in enumerate(column):
            for _ in range(int(times) if image % 7 != 6 else 0):
                again[0].update(copies, ranks[image])
                copies += 1
        columns = again[0].table.columns()
        drawn = set(columns["gt_triplets"][:, 2].tolist())
        for name, value in compute_all(again).items():
            # predicates that a resample lacks are left out of its mean, not counted as 0
            if ("mR" not in name and "F" not in name and "M" not in name) or drawn == present:
                assert found[name][number] == pytest.approx(value[0], abs=1e-12), name


def test_the_whole_set_is_in_the_middle_and_draws_repeat():
    metrics = filled("images", ranks_of())
    one, other = (resamples_of(metrics, IMAGES, 400, seed=0) for _ in range(2))
    whole = compute_all(metrics)
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name])
        low, high = interval(values)
        assert low <= whole[name][0] <= high
    assert not np.array_equal(one["R@5"], resamples_of(metrics, IMAGES, 400, seed=1)["R@5"])


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution():
    """400 images, of which a third has its only relation found: standard error sqrt(p (1 - p) / n)."""
    table = RankTable()
    names = ("rank", "nogc_rank", "pair_rank", "matched_pair_rank", "predicate_rank")
    for image in range(400):
        rank = np.array([0 if image % 3 == 0 else 100])
        table.add(image, {"gt_triplets": np.array([[1, 1, 1]]), **dict.fromkeys(names, rank)})
    metrics = [Recalls(PROTOCOLS["sgb"], PREDICATES, table)]
    low, high = interval(resamples_of(metrics, 400)["R@20"])
    error = (134 / 400 * 266 / 400 / 400) ** 0.5
    assert low == pytest.approx(134 / 400 - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(134 / 400 + 1.96 * error, abs=0.15 * error)


@pytest.mark.parametrize("images", [1, PART, PART + 1, 3 * PART + 5])
def test_every_resample_draws_as_many_images_as_there_are(images):
    weights = np.concatenate(list(resample_weights(images, 200, 1)))
    assert weights.shape == (images, 200) and (weights.sum(0) == images).all()
    np.testing.assert_allclose(weights.mean(1), 1, atol=6 / 200**0.5)
    if images > 1:  # each is drawn by a binomial distribution, in whichever part it is
        assert weights.var() == pytest.approx(1 - 1 / images, rel=0.05)
        halves = weights[: images // 2].sum(0)  # and so is a part
        assert halves.var() == pytest.approx(images / 4, rel=0.35)


@pytest.mark.parametrize("average", ["images", "relations"])
def test_a_test_set_of_several_parts_is_averaged_as_one_that_is_weighted_at_once(average):
    images, ranks = 2 * PART + 30, ranks_of()
    metrics = make_metrics(average)
    for image in np.random.default_rng(0).permutation(images).tolist():
        if image % 3:
            metrics[0].update(image, ranks[image % IMAGES])
    columns, weights = metrics[0].table.columns(), np.concatenate(list(resample_weights(images, 5, 0)))
    whole = [Part(0, images, columns)]
    at_once = average_all(metrics, whole, [np.insert(weights, 0, 1.0, axis=1)])
    in_parts = resamples_of(metrics, images, 5, seed=0)
    for metric in metrics:
        for name, values in metric.values(at_once).items():
            np.testing.assert_allclose(in_parts[name], values[1:], rtol=1e-12)
            np.testing.assert_allclose(values[0], compute_all(metrics)[name][0], rtol=1e-12)


def write_ranks(path, metrics, images=IMAGES):
    columns = metrics[0].table.columns()
    zero_shot = columns["gt_triplets"][:, 0] == 1
    np.savez(path, images=images, num_predicates=PREDICATES, zero_shot=zero_shot, **columns)
    return path


def test_differences_are_taken_on_the_same_images(tmp_path):
    ranks = ranks_of()
    better = [{**one, "rank": np.maximum(one["rank"] - 1, 0)} for one in ranks]
    card = PROTOCOLS["sgb"].fields()
    paths = [write_ranks(tmp_path / f"{i}.npz", filled("images", one)) for i, one in enumerate((better, ranks))]
    found = mean_difference_intervals([(paths[0], paths[1])], card, 5)
    assert 0 <= found["R"][0] < found["R"][1]
    assert mean_difference_intervals([(paths[1], paths[1])], card, 5) == {name: [0.0, 0.0] for name in found}
    # much narrower than that of either run
    alone = interval(resamples_of(filled("images", ranks))["R@5"])
    assert found["R"][1] - found["R"][0] < alone[1] - alone[0]
    other = write_ranks(tmp_path / "other.npz", filled("images", ranks), images=IMAGES + 1)
    with pytest.raises(ValueError, match="different test sets"):
        mean_difference_intervals([(paths[0], other)], card, 5)


def test_ranks_that_were_written_anew_are_read_anew(tmp_path):
    ranks, card = ranks_of(), PROTOCOLS["sgb"].fields()
    paths = [write_ranks(tmp_path / f"{i}.npz", filled("images", ranks)) for i in range(2)]
    assert mean_difference_intervals([(paths[0], paths[1])], card, 5)["R"] == [0.0, 0.0]
    before = paths[0].stat().st_mtime_ns
    better = [{**one, "rank": np.maximum(one["rank"] - 1, 0)} for one in ranks]
    write_ranks(paths[0], filled("images", better))
    os.utime(paths[0], ns=(before + 1, before + 1))  # however coarse the clock of the file system is
    assert mean_difference_intervals([(paths[0], paths[1])], card, 5)["R"][1] > 0


def test_nothing_to_draw():
    metrics = make_metrics("images")
    assert interval(resamples_of(metrics, 0, resamples=3)["R@1"]) is None
