"""Labelling against a plain loop; files in which validation and test rows stay; agreement with human labels."""

import h5py
import numpy as np
import pytest
from noisy_scenes import CLASS_NAMES, PREDICATE_NAMES, make_arrays, make_labels, random_base, rows

from maskrcnn_benchmark.data.datasets.vg_format import corners, read_graphs
from maskrcnn_benchmark.distant.knowledge_base import read_knowledge_base
from maskrcnn_benchmark.distant.labelling import PairRule, label_images
from maskrcnn_benchmark.distant.labels import (
    read_arrays,
    read_human_labels,
    read_labels,
    training_images,
    write_labels,
)
from maskrcnn_benchmark.distant.quality import agreement, count_lines
from maskrcnn_benchmark.utils.errors import InputError

RULES = [
    PairRule(),
    PairRule(overlap=False),
    PairRule(overlap=False, max_distance=0.1),
    PairRule(overlap=False, max_distance=0.0),
    PairRule(overlap=False, max_pairs=2),
    PairRule(max_pairs=1),
]


@pytest.fixture
def base(write_json):
    return read_knowledge_base(write_json(random_base()), CLASS_NAMES, PREDICATE_NAMES)


def gap(a, b):
    """Distance of the nearest points of two boxes."""
    sides = [max(a[i], b[i]) - min(a[i + 2], b[i + 2]) for i in range(2)]
    return np.hypot(*(max(side, 0) for side in sides))


def area(box):
    return (box[2] - box[0] + 1) * (box[3] - box[1] + 1)


def shared(a, b):
    return np.prod([max(min(a[i + 2], b[i + 2]) - max(a[i], b[i]) + 1, 0) for i in range(2)])


def label_slowly(arrays, images, base, rule, even=False):
    boxes = corners(arrays["boxes_1024"])
    found = {}
    for image in images:
        box_rows = range(arrays["img_to_first_box"][image], arrays["img_to_last_box"][image] + 1)
        pairs = []
        for s in box_rows:
            for o in box_rows:
                known = base.get(f"{arrays['labels'][s, 0]}_{arrays['labels'][o, 0]}")
                if s == o or not known or (rule.overlap and shared(boxes[s], boxes[o]) <= 0):
                    continue
                if rule.max_distance is not None and gap(boxes[s], boxes[o]) > rule.max_distance * 1024:
                    continue
                common = shared(boxes[s], boxes[o])
                pairs.append((-common / (area(boxes[s]) + area(boxes[o]) - common), s, o, known))
        pairs.sort(key=lambda pair: pair[0])  # stable: of equal ones the first
        for _, s, o, known in pairs[: rule.max_pairs]:
            for predicate, count in known.items():
                weight = 1 / len(known) if even else count / sum(known.values())
                found[int(image), s, o, int(predicate)] = weight
    return found


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", [0, 1])
def test_labels_equal_a_loop(rule, seed, base, monkeypatch):
    monkeypatch.setattr("maskrcnn_benchmark.data.datasets.box_pairs._PAIRS_AT_A_TIME", 40)
    arrays = make_arrays(seed)
    images = training_images(arrays, 0)
    labels = label_images(arrays, images, base, rule)
    expected = label_slowly(arrays, images, random_base(), rule)
    assert expected and rows(labels) == pytest.approx(expected)
    assert (np.diff(labels.image) >= 0).all() and len(rows(labels)) == len(labels)
    even = label_images(arrays, images, base, rule, use_counts=False)
    assert rows(even) == pytest.approx(label_slowly(arrays, images, random_base(), rule, even=True))


def test_labels_of_a_pair_stand_together_the_most_frequent_first(base):
    arrays = make_arrays()
    labels = label_images(arrays, training_images(arrays, 0), base, PairRule(overlap=False))
    pair = labels.pair_index()
    assert len(labels.first_of_pair()) == len(np.unique(labels.pairs, axis=0)) == pair.max() + 1
    assert all((np.diff(labels.weights[pair == i]) <= 0).all() for i in range(pair.max() + 1))
    np.testing.assert_allclose(np.bincount(pair, labels.weights), 1)


def test_nothing_to_label_gives_no_labels(base):
    arrays = make_arrays()
    assert len(label_images(arrays, np.zeros(0, np.int64), base, PairRule())) == 0
    with pytest.raises(InputError, match="--max-pairs is 0"):
        label_images(arrays, np.zeros(0, np.int64), base, PairRule(max_pairs=0))
    with pytest.raises(InputError, match="--max-distance is -1"):
        label_images(arrays, np.zeros(0, np.int64), base, PairRule(max_distance=-1))


# -- files -----------------------------------------------------------------------------------------------------------
def image_bytes(path, image):
    """All that a file says of an image, as bytes."""
    with h5py.File(path) as file:
        first_box, last_box = file["img_to_first_box"][image], file["img_to_last_box"][image]
        first, last = file["img_to_first_rel"][image], file["img_to_last_rel"][image]
        parts = [file["split"][image].tobytes(), first_box.tobytes(), last_box.tobytes()]
        if first >= 0:
            parts += [file[name][first : last + 1].tobytes() for name in ("relationships", "predicates")]
    return parts


@pytest.mark.parametrize(("marked", "num_val_im"), [(True, 5), (False, 3), (False, 0)])
def test_validation_and_test_stay_bit_for_bit(marked, num_val_im, base, write_h5, tmp_path):
    source = write_h5(make_arrays(3, images=30, marked=marked))
    arrays = read_arrays(source)
    images = training_images(arrays, num_val_im)
    labels = label_images(arrays, images, base, PairRule(overlap=False))
    target = tmp_path / "distant" / "VG-SGG.h5"
    write_labels(source, target, images, labels)

    for split in ("val", "test") if num_val_im else ("test",):  # without validation images val stands for all
        for empty in (True, False):
            before, after = (read_graphs(path, split, -1, num_val_im, empty) for path in (source, target))
            np.testing.assert_array_equal(before.mask, after.mask)
            np.testing.assert_array_equal(before.relations, after.relations)
            np.testing.assert_array_equal(before.boxes, after.boxes)
    unchanged = np.setdiff1d(np.arange(30), images)
    assert len(unchanged) > 5
    for image in unchanged:
        assert image_bytes(source, image) == image_bytes(target, image)
    # the training images have the labels, and nothing else has changed
    again = read_arrays(target)
    assert rows(read_labels(again, images)) == pytest.approx(rows(labels))
    with h5py.File(source) as old, h5py.File(target) as new:
        for name in ("boxes_1024", "labels", "attributes", "split", "img_to_first_box", "img_to_last_box", "boxes_512"):
            assert old[name].dtype == new[name].dtype and old[name][:].tobytes() == new[name][:].tobytes()
        for name in ("relationships", "predicates", "img_to_first_rel"):
            assert old[name].dtype == new[name].dtype
        assert new.attrs["made by"] == "a test"
        assert new["predicate_weights"].shape == (len(new["predicates"]),)


def test_images_without_labels_have_no_relations(base, write_h5, tmp_path):
    arrays = make_arrays()
    source = write_h5(arrays)
    images = training_images(arrays, 0)
    labels = label_images(arrays, images, base, PairRule(max_pairs=1))
    write_labels(source, tmp_path / "distant.h5", images, labels)
    written = read_arrays(tmp_path / "distant.h5")
    bare = np.setdiff1d(images, labels.image)
    assert (
        len(bare) and (written["img_to_first_rel"][bare] == -1).all() and (written["img_to_last_rel"][bare] == -1).all()
    )


def test_labels_written_again_replace_each_other(base, write_h5, tmp_path):
    source = write_h5(make_arrays(4))
    arrays = read_arrays(source)
    images = training_images(arrays, 0)
    labels = label_images(arrays, images, base, PairRule(overlap=False))
    fewer = label_images(arrays, images, base, PairRule(overlap=False, max_pairs=1))
    write_labels(source, tmp_path / "a.h5", images, labels)
    write_labels(tmp_path / "a.h5", tmp_path / "b.h5", images, fewer)
    write_labels(source, tmp_path / "c.h5", images, fewer)
    for name, values in read_arrays(tmp_path / "b.h5").items():
        np.testing.assert_array_equal(values, read_arrays(tmp_path / "c.h5")[name])


def test_other_files_are_linked_beside_the_result(base, write_h5, tmp_path):
    source = write_h5(make_arrays(), "data/vg/VG-SGG.h5")
    (tmp_path / "data" / "vg" / "image_data.json").write_text("[]")
    arrays = read_arrays(source)
    images = training_images(arrays, 0)
    labels = label_images(arrays, images, base, PairRule(overlap=False))
    for _ in range(2):
        write_labels(source, tmp_path / "distant" / "vg" / "VG-SGG.h5", images, labels, link=True)
    assert (tmp_path / "distant" / "vg" / "image_data.json").read_text() == "[]"
    assert not (tmp_path / "distant" / "vg" / "VG-SGG.h5").is_symlink()


def test_the_input_is_not_overwritten_and_nothing_is_not_written(base, write_h5, tmp_path):
    source = write_h5(make_arrays())
    before = source.read_bytes()
    arrays = read_arrays(source)
    images = training_images(arrays, 0)
    labels = label_images(arrays, images, base, PairRule(overlap=False))
    with pytest.raises(InputError, match="is the input itself"):
        write_labels(source, source, images, labels)
    with pytest.raises(InputError, match="no label is left"):
        write_labels(source, tmp_path / "none.h5", images, labels.take(slice(0), labels.weights[:0]))
    assert source.read_bytes() == before and not (tmp_path / "none.h5").exists()


def test_training_images_need_to_be_there():
    arrays = make_arrays(marked=False)
    with pytest.raises(InputError, match="no training image is left to label"):
        training_images(arrays, 5000)


# -- agreement -------------------------------------------------------------------------------------------------------
def test_agreement_by_hand():
    human = make_labels((0, (0, 1), 3, 1), (0, (0, 1), 3, 1), (0, (0, 1), 4, 1), (1, (5, 6), 2, 1), (1, (6, 5), 2, 1))
    noisy = make_labels(
        (0, (0, 1), 3, 0.7), (0, (0, 1), 9, 0.3),  # one right of two
        (0, (1, 0), 3, 1.0),  # not labelled by people
        (1, (5, 6), 2, 0.2), (1, (5, 6), 7, 0.4), (1, (5, 6), 8, 0.4),  # right, but least likely
    )  # fmt: skip
    found = agreement(noisy, human)
    assert (found.human_pairs, found.human_labels, found.pairs, found.choices) == (3, 4, 2, 2)
    assert found.coverage == pytest.approx(2 / 3) and found.recall == pytest.approx(2 / 4)
    assert found.precision == pytest.approx(2 / 5) and found.precision_of_all == pytest.approx(2 / 6)
    assert found.drawn == pytest.approx((0.7 + 0.2) / 2)
    assert found.best == found.best_of_choices == pytest.approx(0.5)
    assert found.chance == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert "6 labels of 3 pairs in 2 images" in count_lines(noisy)[0] and "2.00 predicates" in count_lines(noisy)[1]
    assert "precision), 45.0%" in found.lines()[1]


def test_agreement_with_nothing_is_no_number():
    human = make_labels((0, (0, 1), 3, 1))
    found = agreement(human.take(slice(0), human.weights[:0]), human)
    assert found.coverage == 0 and found.as_json()["precision"] is None and "-" in found.lines()[1]
    assert agreement(human, human.take(slice(0), human.weights[:0])).as_json()["recall"] is None


def test_human_labels_must_be_of_the_same_boxes(write_h5):
    arrays = make_arrays()
    images = training_images(arrays, 0)
    path = write_h5(make_arrays(), "human.h5")
    assert rows(read_human_labels(path, arrays, images)) == rows(read_labels(arrays, images))
    with pytest.raises(InputError, match=r"human\.h5 differs in boxes_1024"):
        read_human_labels(path, {**arrays, "boxes_1024": arrays["boxes_1024"] + 1}, images)


def test_repeated_rows_are_drawn_by_sgb_as_weights_are_drawn_here(base):
    """SGB takes one of a pair's rows at random and counts all of them; it knows no weights."""
    arrays = make_arrays(0)
    labels = label_images(arrays, training_images(arrays, 0), base, PairRule(overlap=False))
    number = 40
    repeated = labels.repeated(number)
    assert (repeated.weights == 1).all() and len(repeated) == number * len(labels.first_of_pair())
    generator = np.random.default_rng(0)
    draws = 4000
    for pair in np.unique(labels.pair_index())[:6]:
        own, rows_of_pair = labels.pair_index() == pair, repeated.pair_index() == pair
        np.testing.assert_array_equal(np.unique(repeated.pairs[rows_of_pair], axis=0), labels.pairs[own][:1])
        drawn = generator.choice(repeated.predicates[rows_of_pair], draws)
        for predicate, weight in zip(labels.predicates[own], labels.weights[own], strict=True):
            share = np.mean(repeated.predicates[rows_of_pair] == predicate)
            assert abs(share - weight) < 1 / number
            assert abs(np.mean(drawn == predicate) - share) < 4 * np.sqrt(0.25 / draws)
    # counted row by row, all pairs weigh alike, as they do with weights
    counts = np.bincount(repeated.predicates, minlength=99) / number
    np.testing.assert_allclose(counts, np.bincount(labels.predicates, labels.weights, 99), atol=len(labels) / number)


def test_repeated_rows_are_rounded_to_their_number():
    third, pair, other = 1 / 3, (1, 2), (2, 1)
    labels = make_labels(
        *((0, pair, predicate, third) for predicate in (5, 6, 7)), (0, other, 5, 0.0), (1, (4, 5), 6, 2.0)
    )
    assert labels.repeated(3).predicates.tolist() == [5, 6, 7, 6, 6, 6]
    assert labels.repeated(3).pairs.tolist() == [[1, 2]] * 3 + [[4, 5]] * 3
    assert labels.repeated(4).predicates.tolist() == [5, 5, 6, 7, 6, 6, 6, 6]  # of equal remainders the first
    assert labels.repeated(1).predicates.tolist() == [5, 6]
    assert len(labels.take(slice(0, 0), np.zeros(0)).repeated(3)) == 0
