"""Downloads into the cache, without a network: the answers are made up."""

import hashlib
import io
import os
import urllib.error
from pathlib import Path

import pytest

from maskrcnn_benchmark.utils import model_zoo
from maskrcnn_benchmark.utils.errors import InputError


class Answer(io.BytesIO):
    def __init__(self, content, announced):
        super().__init__(content)
        self.headers = {"Content-Length": str(announced)} if announced is not None else {}


@pytest.fixture
def serve(monkeypatch):
    """Let every address answer with these bytes; counts the requests."""
    requests = []

    def install(content, announced=None, error=None):
        def urlopen(url, timeout):
            requests.append(url)
            if error:
                raise error
            return Answer(content, announced)

        monkeypatch.setattr(model_zoo.urllib.request, "urlopen", urlopen)
        return requests

    return install


def test_a_file_is_fetched_once(serve, tmp_path, capsys):
    requests = serve(b"weights", announced=7)
    for _ in range(2):
        path = model_zoo.cache_url("https://example.org/a/R-50.pkl", str(tmp_path))
        assert Path(path).read_bytes() == b"weights"
    assert os.path.basename(path) == "R-50.pkl"
    assert requests == ["https://example.org/a/R-50.pkl"]
    assert "R-50.pkl" in capsys.readouterr().err  # the bar


def test_detectors_of_one_name_are_kept_apart(serve, tmp_path):
    serve(b"x")
    paths = {model_zoo.cache_url(f"https://example.org/{n}/model_final.pkl", str(tmp_path), False) for n in "ab"}
    assert len(paths) == 2


def test_the_default_folder_is_that_of_sgb(serve, tmp_path, monkeypatch):
    serve(b"x")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert model_zoo.cache_url("https://example.org/f.pkl", progress=False) == str(tmp_path / "models" / "f.pkl")


def test_fewer_bytes_than_announced_leave_nothing(serve, tmp_path):
    serve(b"half", announced=8)
    with pytest.raises(InputError, match="sent 4 of 8 bytes"):
        model_zoo.cache_url("https://example.org/f.pkl", str(tmp_path), progress=False)
    assert not list(tmp_path.iterdir())


def test_a_hash_in_the_name_is_checked(serve, tmp_path):
    serve(b"weights")
    good = hashlib.sha256(b"weights").hexdigest()[:8]
    model_zoo.cache_url(f"https://example.org/net-{good}.pth", str(tmp_path), progress=False)
    with pytest.raises(InputError, match="its name announces 00000000"):
        model_zoo.cache_url("https://example.org/net-00000000.pth", str(tmp_path), progress=False)
    assert len(list(tmp_path.iterdir())) == 1


def test_without_a_network_the_sentence_says_where_the_file_goes(serve, tmp_path):
    serve(b"", error=urllib.error.URLError("no route to host"))
    with pytest.raises(InputError) as error:
        model_zoo.cache_url("https://example.org/a/R-50.pkl", str(tmp_path), progress=False)
    assert str(error.value) == (
        "https://example.org/a/R-50.pkl cannot be downloaded (<urlopen error no route to host>); "
        f"get it elsewhere and put it at {tmp_path / 'R-50.pkl'}"
    )
