"""Pickles are read without running any code that they name."""

import collections
import io
import logging
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch

from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.safe_pickle import load_pickle, load_torch


class Attack:
    """Makes a file when it is unpickled by an ordinary reader."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class Stateful(logging.Handler):
    """An object with a state, a class of nobody else."""


def attacks(marker):
    return [
        Attack(os.system, f"touch {marker}"),
        Attack(eval, f"open({str(marker)!r}, 'w')"),
        Attack(exec, f"open({str(marker)!r}, 'w')"),
        Attack(open, str(marker), "w"),
        [Attack(os.mkdir, str(marker))],
        {"deep": (Attack(os.mkdir, str(marker)),)},
    ]


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_code_in_a_pickle_does_not_run(tmp_path, number, protocol):
    marker, path = tmp_path / "ran", tmp_path / "file.pkl"
    path.write_bytes(pickle.dumps({"attack": attacks(marker)[number], "weight": np.ones(2)}, protocol))
    with pytest.raises(InputError, match=r"file\.pkl is refused: it would call \S+ when it is read"):
        load_pickle(path)
    assert not marker.exists()


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_does_not_run(tmp_path, number, zipped):
    marker, path = tmp_path / "ran", tmp_path / "file.pth"
    data = {"attack": attacks(marker)[number], "model": {"weight": torch.ones(2)}}
    torch.save(data, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match=r"file\.pth is refused: it would call \S+ when it is read"):
        load_torch(path)
    assert not marker.exists()


def test_state_cannot_be_put_into_what_the_reader_uses(tmp_path):
    # BUILD on a function that is allowed: (None, {"__defaults__": ...}) sets its attributes
    def opcodes():
        yield b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n"
        yield b"N}X\x0c\x00\x00\x00__defaults__K\x05\x85s\x86b."

    before = torch._utils._rebuild_tensor_v2.__defaults__
    path = tmp_path / "file.pkl"
    path.write_bytes(b"".join(opcodes()))
    load_pickle(path)
    assert torch._utils._rebuild_tensor_v2.__defaults__ == before


def test_torchscript_programs_are_refused(tmp_path):
    path = tmp_path / "program.pth"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("data.pkl", "constants.pkl"):
            archive.writestr(f"program/{name}", pickle.dumps({}))
    with pytest.raises(InputError, match="TorchScript program"):
        load_torch(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_what_training_states_hold_comes_back(tmp_path, zipped):
    half = torch.rand(4, 3, dtype=torch.bfloat16)
    data = {
        "model": collections.OrderedDict(weight=torch.rand(2, 3), view=half[1:].t(), count=torch.tensor(3)),
        "parameter": torch.nn.Parameter(torch.rand(2)),
        "best": np.float64(0.25),
        "random": np.random.default_rng(0).integers(0, 9, 5),
        "names": ["a", "b"],
        "pair": (1, None, True, b"bytes", {1, 2}),
        "size": torch.Size([1, 2]),
        "logger": logging.getLogger("theirs"),
        "scheduler": {"best": 0.5, "logger": logging.getLogger("theirs"), "handler": Stateful},
    }
    path = tmp_path / "file.pth"
    torch.save(data, path, _use_new_zipfile_serialization=zipped)
    loaded = load_torch(path)
    assert list(loaded["model"]) == ["weight", "view", "count"]
    for name, value in data["model"].items():
        assert torch.equal(loaded["model"][name], value) and loaded["model"][name].dtype == value.dtype
    assert torch.equal(loaded["parameter"], data["parameter"])
    assert loaded["best"] == 0.25
    assert loaded["random"].tolist() == data["random"].tolist()
    assert (loaded["names"], loaded["pair"], loaded["size"]) == (data["names"], data["pair"], data["size"])
    assert "logger" not in loaded
    assert loaded["scheduler"] == {"best": 0.5}


def test_plain_checkpoints_can_be_mapped(tmp_path):
    for zipped in (True, False):
        torch.save({"model": torch.arange(3)}, tmp_path / "file.pth", _use_new_zipfile_serialization=zipped)
        assert load_torch(tmp_path / "file.pth", mmap=True)["model"].tolist() == [0, 1, 2]


def test_text_and_arrays_of_python_2(tmp_path):
    class Python2(pickle._Pickler):
        """Writes bytes as the strings of Python 2."""

        dispatch = dict(pickle._Pickler.dispatch)

        def save_str2(self, value):
            self.write(b"T" + struct.pack("<i", len(value)) + value)
            self.memoize(value)

        dispatch[bytes] = save_str2

    array = np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3)
    stream = io.BytesIO()
    Python2(stream, protocol=2).dump({b"blobs": {b"conv1_w": array}})
    path = tmp_path / "file.pkl"
    path.write_bytes(stream.getvalue().replace(b"numpy._core", b"numpy.core"))
    np.testing.assert_array_equal(load_pickle(path)["blobs"]["conv1_w"], array)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_file_that_is_cut_short(tmp_path, zipped, share):
    path = tmp_path / "cut.pth"
    torch.save({"model": {"weight": torch.rand(100)}}, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match=r"cut\.pth .* is cut short or not of torch\.save") as error:
        load_torch(path)
    assert "\n" not in str(error.value)


def test_a_pickle_that_is_cut_short(tmp_path):
    path = tmp_path / "cut.pkl"
    path.write_bytes(pickle.dumps({"conv1_w": np.zeros(100)})[:-20])
    with pytest.raises(InputError, match=r"cut\.pkl is cut short or no pickle"):
        load_pickle(path)


def test_other_files(tmp_path):
    path = tmp_path / "text.pth"
    path.write_text("no weights\n" * 20)
    with pytest.raises(InputError, match=r"text\.pth"):
        load_torch(path)
    for read in (load_torch, load_pickle):
        with pytest.raises(InputError, match=r"none\.pth does not exist"):
            read(tmp_path / "none.pth")
