"""Downloads into the cache, from a server on the loopback address."""

import hashlib
import os
from pathlib import Path

import pytest
from loopback import serve

from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.model_zoo import cache_url


@pytest.fixture
def site():
    with serve({f"/{name}": b"weights" for name in ("a/R-50.pkl", "a/model_final.pkl", "b/model_final.pkl")}) as site:
        yield site


def test_a_file_is_fetched_once(site, tmp_path, capsys):
    for _ in range(2):
        path = cache_url(f"{site.url}/a/R-50.pkl", str(tmp_path))
        assert Path(path).read_bytes() == b"weights"
    assert os.path.basename(path) == "R-50.pkl" and len(site.asked) == 1
    assert "R-50.pkl" in capsys.readouterr().err  # the bar


def test_detectors_of_one_name_are_kept_apart(site, tmp_path):
    paths = {cache_url(f"{site.url}/{n}/model_final.pkl", str(tmp_path), False) for n in "ab"}
    assert len(paths) == 2


def test_the_default_folder_is_that_of_sgb(site, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert cache_url(f"{site.url}/a/R-50.pkl", progress=False) == str(tmp_path / "models" / "R-50.pkl")


def test_a_hash_in_the_name_is_checked(site, tmp_path):
    good = hashlib.sha256(b"weights").hexdigest()[:8]
    site.files |= {f"/net-{good}.pth": b"weights", "/net-00000000.pth": b"weights"}
    cache_url(f"{site.url}/net-{good}.pth", str(tmp_path), progress=False)
    with pytest.raises(InputError, match="expected 00000000"):
        cache_url(f"{site.url}/net-00000000.pth", str(tmp_path), progress=False)
    assert len(list(tmp_path.iterdir())) == 1


def test_without_a_network_the_sentence_says_where_the_file_goes(site, tmp_path):
    with pytest.raises(InputError) as error:
        cache_url(f"{site.url}/missing.pkl", str(tmp_path), progress=False)
    assert "404" in str(error.value) and str(error.value).endswith(
        f"get the file elsewhere and put it at {tmp_path / 'missing.pkl'}"
    )
