"""Predictions over a list of names get the numbers of the evaluated data set."""

import pytest
import torch
from support import HEAD, boxlist, parity_config

import maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip  # noqa: F401  its keys in the configuration
from maskrcnn_benchmark.data.scored_predicates import Renumbering, scored_predicates
from maskrcnn_benchmark.utils.errors import InputError

DICTIONARY = ["__background__", "on", "parked_on", "riding", "near"]


def test_scores_and_labels_move_to_the_data_sets_numbers():
    prediction = boxlist([[0, 0, 5, 5]] * 2, (9, 9))
    prediction.add_field("pred_rel_scores", torch.tensor([[0.1, 0.6, 0.3], [0.5, 0.2, 0.3]]))
    prediction.add_field("pred_rel_labels", torch.tensor([1, 2]))
    found = Renumbering(["Riding", "parked on"], DICTIONARY)(prediction)
    assert found.get_field("pred_rel_labels").tolist() == [3, 2]
    expected = torch.tensor([[0.1, 0, 0.3, 0.6, 0], [0.5, 0, 0.3, 0.2, 0]])
    assert torch.equal(found.get_field("pred_rel_scores"), expected)


def test_an_image_without_pairs():
    prediction = boxlist([[0, 0, 5, 5]], (9, 9))
    prediction.add_field("pred_rel_scores", torch.zeros(0, 2))
    prediction.add_field("pred_rel_labels", torch.zeros(0, dtype=torch.int64))
    assert Renumbering(["near"], DICTIONARY)(prediction).get_field("pred_rel_scores").shape == (0, 5)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["on", "chasing"], r"TEST_PREDICATES names 'chasing', which the dictionary .* it has on, parked_on"),
        (["__background__"], r"names '__background__'"),
        (["parked on", "parked_on"], r"names a predicate twice"),
    ],
)
def test_names_that_cannot_be_evaluated_are_refused(names, message):
    with pytest.raises(InputError, match=message):
        Renumbering(names, DICTIONARY)


def test_only_relclip_scores_given_names():
    options = [HEAD + "RELCLIP.TEST_PREDICATES", ("on",)]
    assert scored_predicates(parity_config("predcls", "RelCLIPPredictor", options)) == ("on",)
    assert scored_predicates(parity_config("predcls", "MotifPredictor", options)) == ()
