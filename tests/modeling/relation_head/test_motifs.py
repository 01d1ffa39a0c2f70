"""Order, encoding and decoding of the Motifs context."""

import numpy as np
import pytest
import torch
from support import boxlist, fill, parity_config
from torch.nn.utils.rnn import pack_sequence

from maskrcnn_benchmark.modeling.roi_heads.relation_head.model_motifs import DecoderRNN, PackedLSTM, sequence_rows
from maskrcnn_benchmark.modeling.roi_heads.relation_head.utils_motifs import (
    RowBatchNorm1d,
    encode_box_info,
    get_dropout_mask,
    sort_by_score,
    to_onehot,
    transpose_packed_sequence_inds,
)


@pytest.mark.parametrize("lengths", ([5, 4, 4, 1], [3], [2, 2], [2, 0], []))
def test_packed_order_is_that_of_torch(lengths):
    indices, sizes = transpose_packed_sequence_inds(lengths)
    rows = torch.arange(sum(lengths)).split(lengths)
    filled = [r for r in rows if len(r)]
    expected = pack_sequence(filled) if filled else None
    assert indices.tolist() == (expected.data.tolist() if filled else [])
    assert sizes == (expected.batch_sizes.tolist() if filled else [])


def test_objects_go_by_falling_score_within_their_image():
    sizes = [2, 4, 0, 3]
    proposals = [boxlist(torch.zeros(n, 4), (10, 10)) for n in sizes]
    scores = torch.tensor([0.1, 0.2, 0.5, 0.9, 0.5, 0.7, 0.0, 0.0, 0.3])
    perm, inverse, batch_sizes = sort_by_score(proposals, scores)
    assert batch_sizes.tolist() == [3, 3, 2, 1]
    assert [perm[rows].tolist() for rows in sequence_rows(batch_sizes.tolist(), perm.device)] == [
        [3, 5, 2, 4],
        [8, 6, 7],
        [1, 0],
    ]
    assert perm[inverse].tolist() == list(range(9))


def test_order_in_evaluation_does_not_depend_on_the_batch():
    small, large = (boxlist(torch.zeros(n, 4), (10, 10)) for n in (3, 200))
    scores = torch.tensor([0.5, 0.5000018, 0.500006])  # nearer to each other than the floats that a batch rounds to
    alone, _, _ = sort_by_score([small], scores)
    assert alone.tolist() == [2, 1, 0]
    others = torch.rand(400, generator=torch.Generator().manual_seed(0))
    perm, _, sizes = sort_by_score([small, large, large], torch.cat((scores, others)), each_alone=True)
    assert perm[sequence_rows(sizes.tolist(), perm.device)[2]].tolist() == alone.tolist()


def test_box_codes_are_relative_to_the_image():
    codes = encode_box_info([boxlist([[0.0, 10.0, 9.0, 29.0]], (100, 50)), boxlist(torch.zeros(0, 4), (10, 10))])
    expected = [10 / 100, 20 / 50, 5 / 100, 20 / 50, 0.0, 10 / 50, 9 / 100, 29 / 50, 200 / 5000]
    torch.testing.assert_close(codes, torch.tensor([expected]))


def test_onehot_logits():
    assert to_onehot(torch.tensor([2, 0]), 3).tolist() == [[-1000, -1000, 1000], [1000, -1000, -1000]]


def test_dropout_mask_keeps_the_mean():
    torch.manual_seed(0)
    mask = get_dropout_mask(0.2, range(100), 100, torch.device("cpu"))
    assert set(mask.flatten().tolist()) == {0.0, 1.25}
    assert abs(mask.mean() - 1) < 0.02


def test_one_row_is_normalised_by_running_statistics_in_training():
    norm = RowBatchNorm1d(3)
    norm.running_mean += 1
    row = torch.tensor([[1.0, 2.0, 3.0]])
    torch.testing.assert_close(norm(row), norm.eval()(row))
    rows = torch.randn(4, 3)
    torch.testing.assert_close(norm.train()(rows), torch.nn.BatchNorm1d(3)(rows))


def plain_decoder(decoder, features, labels=None):
    """One image, one step after the other, every linear layer over the concatenated input."""
    hidden = decoder.hidden_size
    state = memory = torch.zeros(1, hidden)
    name, logits, names = 0, [], []
    for i, row in enumerate(features):
        inputs = decoder.input_linearity(torch.cat((row, decoder.obj_embed.weight[name]))[None])
        from_state = decoder.state_linearity(state)
        gate = [inputs[:, k * hidden : (k + 1) * hidden] for k in range(6)]
        gate = [g + from_state[:, k * hidden : (k + 1) * hidden] if k < 5 else g for k, g in enumerate(gate)]
        memory = gate[0].sigmoid() * gate[2].tanh() + gate[1].sigmoid() * memory
        highway = gate[4].sigmoid()
        state = highway * gate[3].sigmoid() * memory.tanh() + (1 - highway) * gate[5]
        logits.append(decoder.out_obj(state))
        label = int(logits[-1][0, 1:].argmax()) + 1
        if labels is not None and labels[i] > 0:
            label = int(labels[i])
        names.append(label)
        name = label + 1
    return torch.cat(logits), torch.tensor(names)


@pytest.fixture
def decoder(parity_statistics):
    return fill(DecoderRNN(parity_config(), parity_statistics["obj_classes"], 20, 30, 24, 0.0)).eval()


@pytest.mark.parametrize("training", (False, True))
def test_decoder_names_all_images_as_one_after_the_other(decoder, training):
    g = torch.Generator().manual_seed(0)
    images = [torch.randn(n, 30, generator=g) for n in (4, 3, 1)]
    labels = [torch.randint(0, 151, (n,), generator=g) * (torch.rand(n, generator=g) > 0.3) for n in (4, 3, 1)]
    packed, packed_labels = pack_sequence(images), pack_sequence(labels).data
    logits, names = decoder.train(training)(packed, labels=packed_labels)
    for i, rows in enumerate(sequence_rows(packed.batch_sizes.tolist(), logits.device)):
        expected_logits, expected_names = plain_decoder(decoder, images[i], labels[i] if training else None)
        torch.testing.assert_close(logits[rows], expected_logits)
        assert names[rows].tolist() == expected_names.tolist()


def test_decoder_starts_from_a_given_state(decoder):
    features = torch.randn(1, 30, generator=torch.Generator().manual_seed(0))
    zeros = torch.zeros(1, 24)
    without, _ = decoder(pack_sequence([features]))
    torch.testing.assert_close(decoder(pack_sequence([features]), initial_state=(zeros, zeros))[0], without)
    assert not np.allclose(
        decoder(pack_sequence([features]), initial_state=(zeros, zeros + 1))[0].detach(), without.detach()
    )


def test_decoder_suppresses_labels_within_an_image_only(decoder):
    features = torch.randn(2, 30, generator=torch.Generator().manual_seed(0))
    twice = torch.stack((features[0], features[0]))
    box = torch.tensor([0.0, 0.0, 9.0, 9.0]).expand(2, 151, 4)
    with torch.no_grad():
        decoder.obj_embed.weight.zero_()
        decoder.state_linearity.weight.zero_()  # no memory: the same features get the same logits
        decoder.input_linearity.weight[24:48].zero_()
        logits, one_image = decoder(pack_sequence([twice]), boxes_for_nms=box)
        _, two_images = decoder(pack_sequence([twice[:1], twice[1:]]), boxes_for_nms=box)
    assert two_images[0] == two_images[1] == logits[0, 1:].argmax() + 1
    assert len(set(one_image.tolist())) == 2


@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16))
def test_lstm_keeps_single_precision_on_the_cpu(dtype):
    torch.manual_seed(0)
    lstm = PackedLSTM(5, 4, bidirectional=True)
    sequence = pack_sequence([torch.randn(3, 5), torch.randn(2, 5)])
    expected, _ = torch.nn.LSTM.forward(lstm, sequence)
    with torch.autocast("cpu", dtype=dtype):
        output, _ = lstm(sequence)
        rounded, _ = lstm(sequence._replace(data=sequence.data.to(dtype)))
    assert torch.equal(output.data, expected.data) and torch.equal(output.batch_sizes, expected.batch_sizes)
    assert rounded.data.dtype == torch.float32
    torch.testing.assert_close(rounded.data, expected.data, atol=1e-2, rtol=0)
