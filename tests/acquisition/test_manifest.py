"""The manifest of the repository, and what is wrong with others."""

import pytest
import yaml

from maskrcnn_benchmark.data.acquisition.manifest import Places, choose, read_manifest
from maskrcnn_benchmark.utils.errors import InputError


def test_the_repository_s_manifest_has_all_that_docs_name(tmp_path):
    manifest = read_manifest()
    assert {item.name for item in choose(manifest, ["all"])} == {
        "vg", "vg-images", "glove", "detector", "clip", "gqa"
    }  # fmt: skip
    assert manifest["vg-coco"].counts == manifest["vg"].counts
    assert manifest["vg"].counts == {"vg/VG-SGG-with-attri.h5": {"train": 57723, "val": 5000, "test": 26446}}
    for item in manifest.values():
        assert item.about and bool(item.files) != bool(item.release)
        for file in item.files:
            assert file.sources or file.pages, file.name
            assert all(source.startswith(("https://", "hf://")) for source in file.sources)
    assert [item.name for item in choose(manifest, ["glove", "vg", "glove"])] == ["glove", "vg"]


def test_places(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    places = Places(tmp_path / "data")
    assert places.of("vg/a.h5") == tmp_path / "data" / "vg" / "a.h5"
    assert places.of("~/x") == tmp_path / "x" and str(places.of("./x")) == "x"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("[1, 2]", "must hold (names|keys and values)"),
        ("a: [1", "is not valid YAML"),
        ({"a": 1}, "must hold keys and values"),
        ({"a": {"file": []}}, "file is no key of the manifest"),
        ({"a": {"files": [{"to": "x", "shasum": 1}]}}, "shasum is no key"),
        ({"a": {"files": [{"sources": []}]}}, "needs `to`"),
        ({"a": {"files": [{"to": "x", "archive": "x.zip"}]}}, "`archive` and `unpack` together"),
        ({"a": {"files": [{"to": "x", "bytes": "5 MB"}]}}, "bytes is '5 MB'"),
        ({"a": {"files": [{"to": "x", "sha256": "abc"}]}}, "sha256 is 'abc'"),
    ],
)
def test_a_malformed_manifest_is_named(tmp_path, content, fault):
    path = tmp_path / "m.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    with pytest.raises(InputError, match=fault):
        read_manifest(path)


def test_unknown_names_and_files(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_manifest(tmp_path / "no.yaml")
    with pytest.raises(InputError, match="vgg is not in the manifest, which has vg, "):
        choose(read_manifest(), ["vgg"])
