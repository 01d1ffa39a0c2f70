"""Every metric beside SGB's against the same counted image by image, relation by relation."""

import doctest
import statistics

import numpy as np
import pytest
from evaluation.graphs import CLASSES, PREDICATES, fits, found_of, free_list, graph_list, iou, random_graphs

from maskrcnn_benchmark.data.datasets.evaluation.vg import averages, bootstrap, metrics, predicates, protocol
from maskrcnn_benchmark.data.datasets.evaluation.vg.image_ranks import rank_graph
from maskrcnn_benchmark.data.datasets.evaluation.vg.metrics import (
    AccumulatedRecall,
    GroupMeanRecall,
    OpenVocabularyRecall,
    PairRecall,
    PredicateRank,
    Recalls,
    RelativeRecall,
    SubsetRecall,
    f_at_k,
    m_at_k,
)
from maskrcnn_benchmark.data.datasets.evaluation.vg.protocol import PROTOCOLS

K = (1, 3, 10)
GROUPS = {"head": np.array([0, 1]), "tail": np.array([2, 3, 4])}


@pytest.fixture(scope="module")
def graphs():
    return random_graphs(np.random.default_rng(0), 25)


def computed(metric, graphs):
    for index, (truth, predicted) in enumerate(graphs):
        metric.update(index, rank_graph(truth, predicted, "sgdet", metric.protocol))
    return metric.compute()


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else float("nan")


def plain_recall(graphs, k, average, chosen=lambda truth, row: True, with_predicate=True, listed=graph_list):
    """Recall of the chosen rows; `k` may depend on the image."""
    units = []
    for truth, predicted in graphs:
        rows = truth.relations.tolist()
        relations = listed(predicted)[: k(truth) if callable(k) else k]
        found = found_of(truth, predicted, relations, rows, with_predicate)
        hits = [index in found for index, row in enumerate(rows) if chosen(truth, row)]
        units += [mean(hits)] if average == "images" and hits else hits if average == "relations" else []
    return mean(units)


def plain_mean_recall(graphs, k, average, wanted=range(1, PREDICATES), listed=graph_list):
    by_predicate = [plain_recall(graphs, k, average, lambda _, row, p=p: row[2] == p, listed=listed) for p in wanted]
    return mean(0.0 if np.isnan(value) else value for value in by_predicate)


@pytest.mark.parametrize("average", ["images", "relations"])
def test_every_recall(graphs, average):
    card = PROTOCOLS["sgb"].with_fields(average=average, k=K)
    novel = {"base": np.array([0, 1, 2]), "novel": np.array([3, 4])}
    unseen = np.array([[c, d, p] for c in range(1, CLASSES) for d in range(1, CLASSES) for p in (2, 5)])
    found = {}
    for metric in (
        Recalls(card, PREDICATES), PairRecall(card, PREDICATES), RelativeRecall(card, PREDICATES),
        AccumulatedRecall(card, PREDICATES), GroupMeanRecall(GROUPS, card, PREDICATES),
        OpenVocabularyRecall(novel, card, PREDICATES),
        SubsetRecall({"zR": lambda rows: metrics_contains(rows, unseen)}, card, PREDICATES),
    ):  # fmt: skip
        found |= computed(metric, graphs)
    expected = {}
    for prefix, listed in (("", graph_list), ("ng-", free_list)):
        options = {"average": average, "listed": listed}
        expected[f"{prefix}rR"] = plain_recall(graphs, lambda truth: len(truth.relations), **options)
        for k in K:
            recall, mean_recall = plain_recall(graphs, k, **options), plain_mean_recall(graphs, k, **options)
            expected |= {f"{prefix}R@{k}": recall, f"{prefix}mR@{k}": mean_recall}
            expected[f"{prefix}F@{k}"] = 2 * recall * mean_recall / (recall + mean_recall)
            expected[f"{prefix}M@{k}"] = (recall + mean_recall) / 2
            for group, places in (GROUPS | novel).items():
                expected[f"{prefix}mR-{group}@{k}"] = plain_mean_recall(graphs, k, wanted=places + 1, **options)
            for group, places in novel.items():
                wanted = (places + 1).tolist()
                expected[f"{prefix}R-{group}@{k}"] = plain_recall(
                    graphs, k, chosen=lambda _, row, wanted=wanted: row[2] in wanted, **options
                )
            for name in ("R", "mR"):
                ends = [expected[f"{prefix}{name}-{group}@{k}"] for group in novel]
                expected[f"{prefix}{name}-harmonic@{k}"] = statistics.harmonic_mean(ends)
            expected[f"{prefix}zR@{k}"] = plain_recall(graphs, k, chosen=lambda _, row: row[2] in (2, 5), **options)
    for k in K:
        expected[f"PR@{k}"] = plain_recall(graphs, k, average, with_predicate=False)
        expected[f"aR@{k}"] = plain_recall(graphs, k, "relations")
        assert expected[f"R@{k}"] <= expected[f"PR@{k}"]
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name


def metrics_contains(rows, known):
    return np.array([row in known.tolist() for row in rows.tolist()], dtype=bool)


def test_rank_of_the_predicate_of_the_first_pair_that_fits(graphs):
    ranks = []
    for truth, predicted in graphs:
        for s, o, p in truth.relations.tolist():
            for (a, b), row in zip(predicted.relations.tolist(), predicted.rel_scores.tolist(), strict=True):
                if fits(truth, predicted, a, s) and fits(truth, predicted, b, o):
                    ranks.append(1 + sum(score > row[p] for score in row[1:]))
                    break
    found = computed(PredicateRank(PROTOCOLS["sgb"], PREDICATES), graphs)
    assert found == {"predicate_rank_mean": mean(ranks), "predicate_rank_median": statistics.median(ranks)}
    assert len(ranks) > 20


@pytest.mark.parametrize(
    "field, value", [("ground_truth", "distinct"), ("iou_threshold", 0.8), ("inclusive_boxes", False)]
)
def test_fields_that_say_what_matches(graphs, field, value):
    card = PROTOCOLS["sgb"].with_fields(**{field: value}, k=K)
    options = {"threshold": card.iou_threshold, "inclusive": card.inclusive_boxes}
    recalls = []
    for truth, predicted in graphs:
        rows = truth.relations.tolist()
        rows = sorted(map(list, set(map(tuple, rows)))) if field == "ground_truth" else rows
        recalls.append(len(found_of(truth, predicted, graph_list(predicted)[:3], rows, **options)) / len(rows))
    assert computed(Recalls(card, PREDICATES), graphs)["R@3"] == pytest.approx(mean(recalls), abs=1e-12)
    usual = computed(Recalls(PROTOCOLS["sgb"].with_fields(k=K), PREDICATES), graphs)
    assert mean(recalls) != pytest.approx(usual["R@3"])


def test_each_prediction_finds_one_relation_where_matching_is_once(graphs):
    card = PROTOCOLS["vrd"].with_fields(k=K)
    hits = total = 0
    for truth, predicted in graphs:
        free = dict(enumerate(truth.relations.tolist()))
        total += len(free)
        for a, b, q in graph_list(predicted)[:10]:
            fitting = {
                index: min(iou_of(truth, predicted, a, s), iou_of(truth, predicted, b, o))
                for index, (s, o, p) in free.items()
                if p == q and fits(truth, predicted, a, s) and fits(truth, predicted, b, o)
            }
            if fitting:
                del free[max(fitting, key=fitting.get)]
                hits += 1
    assert computed(Recalls(card, PREDICATES), graphs)["R@10"] == pytest.approx(hits / total, abs=1e-12)


def iou_of(truth, predicted, mine, true):
    return iou(predicted.boxes[mine].tolist(), truth.boxes[true].tolist())


def test_without_constraint_the_main_metrics_are_those_of_the_free_list(graphs):
    card = PROTOCOLS["sgb"].with_fields(constraint="none", k=K)
    found = computed(Recalls(card, PREDICATES), graphs)
    assert all(found[f"{name}@{k}"] == found[f"ng-{name}@{k}"] for name in ("R", "mR", "F", "M") for k in K)
    for k in K:
        pairs = plain_recall(graphs, k, "images", with_predicate=False, listed=free_list)
        assert computed(PairRecall(card, PREDICATES), graphs)[f"PR@{k}"] == pytest.approx(pairs, abs=1e-12)


def test_images_without_pairs_are_skipped_or_missed(graphs):
    truth, predicted = graphs[0]
    nothing = predicted._replace(relations=predicted.relations[:0], rel_scores=predicted.rel_scores[:0])
    assert rank_graph(truth, nothing, "sgdet", PROTOCOLS["sgb"]) is None
    missed = rank_graph(truth, nothing, "sgdet", PROTOCOLS["vrd"])
    assert (missed["rank"] >= 100).all() and not missed["predicate_rank"].any()
    bare = truth._replace(relations=truth.relations[:0])
    assert rank_graph(bare, predicted, "sgdet", PROTOCOLS["vrd"]) is None


def test_no_image_gives_no_number():
    for metric in (Recalls(), PairRecall(), RelativeRecall(), PredicateRank(), AccumulatedRecall()):
        assert all(np.isnan(value) for name, value in metric.compute().items() if "mR" not in name)


def test_a_batch_of_images_is_its_parts(graphs):
    """Recalls of a set are the mean of those of its images."""
    card = PROTOCOLS["sgb"].with_fields(k=K)
    whole = computed(Recalls(card, PREDICATES), graphs)
    parts = [computed(Recalls(card, PREDICATES), [one]) for one in graphs]
    assert whole["R@3"] == pytest.approx(mean(part["R@3"] for part in parts), abs=1e-12)


def test_harmonic_and_arithmetic_mean():
    recall, mean_recall = np.array([0.5, 0.0, np.nan]), np.array([0.25, 0.0, 0.5])
    np.testing.assert_allclose(f_at_k(recall, mean_recall), [1 / 3, 0, np.nan])
    np.testing.assert_allclose(m_at_k(recall, mean_recall), [0.375, 0, np.nan])


@pytest.mark.parametrize("module", [averages, bootstrap, metrics, predicates, protocol])
def test_examples_in_docstrings(module):
    outcome = doctest.testmod(module)
    assert outcome.attempted and not outcome.failed
