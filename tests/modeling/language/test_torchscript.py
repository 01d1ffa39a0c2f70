"""Tensors of TorchScript archives, read without their code: the same as PyTorch's, and nothing else gets in."""

import io
import os
import pickle
import zipfile

import pytest
import torch

from maskrcnn_benchmark.modeling.language.errors import LanguageError
from maskrcnn_benchmark.modeling.language.torchscript import is_torchscript, read_torchscript


class Inner(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(3, 4).t())  # not contiguous
        self.register_buffer("halves", torch.randn(5).half())
        self.register_buffer("numbers", torch.arange(6))
        self.register_buffer("nothing", torch.zeros(0, 2))

    def forward(self, x):
        return x @ self.weight


class Outer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(Inner(), torch.nn.Linear(3, 2))
        self.scale = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        return self.layers(x) * self.scale


@pytest.fixture
def archive(tmp_path):
    torch.manual_seed(0)
    path = str(tmp_path / "model.pt")
    torch.jit.script(Outer()).save(path)
    return path


def rewritten(path, target, name, content):
    """A copy of an archive in which a file holds something else."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as copy:
        for entry in source.namelist():
            copy.writestr(entry, content if entry.endswith(name) else source.read(entry))
    return str(target)


def test_tensors_are_those_that_pytorch_reads(archive):
    expected = torch.jit.load(archive).state_dict()
    found = read_torchscript(archive)
    assert is_torchscript(archive)
    assert set(expected) == set(found)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype and torch.equal(found[name], value), name


def test_code_in_an_archive_is_not_run(tmp_path):
    """A module with a __setstate__ gets what that would have been given, or is refused; it is not called."""

    class Program(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(2))

        @torch.jit.export
        def __getstate__(self):
            return (self.weight, self.training)

        @torch.jit.export
        def __setstate__(self, state: tuple[torch.Tensor, bool]):
            self.weight = state[0]
            self.training = state[1]
            assert False, "this is the program"  # noqa: B011

        def forward(self, x):
            return x

    path = str(tmp_path / "program.pt")
    torch.jit.script(Program()).save(path)
    with pytest.raises(Exception, match="this is the program"):
        torch.jit.load(path)
    with pytest.raises(LanguageError, match=r"program\.pt: a module .* state of its own"):
        read_torchscript(path)


def test_a_pickle_that_names_anything_else_is_refused(archive, tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    path = rewritten(archive, tmp_path / "trap.pt", "/data.pkl", pickle.dumps(Trap(), 2))
    with pytest.raises(LanguageError, match=r"trap\.pt: the TorchScript archive names \w+\.mkdir"):
        read_torchscript(path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("content", [b"", b"\x80\x02", b"no pickle at all"])
def test_a_damaged_archive_is_named(archive, tmp_path, content):
    with pytest.raises(LanguageError, match=r"cut\.pt: a damaged TorchScript archive"):
        read_torchscript(rewritten(archive, tmp_path / "cut.pt", "/data.pkl", content))


def test_data_that_are_cut_short_or_too_small_are_named(archive, tmp_path):
    path = rewritten(archive, tmp_path / "short.pt", "/data/0", b"12345678")
    with pytest.raises(LanguageError, match=r"short\.pt: storage 0 of the TorchScript archive is cut short"):
        read_torchscript(path)


def test_a_state_dict_is_no_archive(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "state.pt")
    (tmp_path / "text.pt").write_bytes(io.BytesIO(b"text").getvalue())
    assert not is_torchscript(str(tmp_path / "state.pt")) and not is_torchscript(str(tmp_path / "text.pt"))
