"""A mirror of small files in Visual Genome's format, and its manifest."""

import hashlib

import pytest
import yaml
from loopback import serve, zip_of
from support import PARITY

from maskrcnn_benchmark.utils import download


@pytest.fixture
def mirror(monkeypatch):
    """A server with the reference data set, its images in two archives, and word vectors."""
    monkeypatch.setattr(download, "_pause", lambda tries: 0.0)
    vg = PARITY / "vg"
    images = sorted((vg / "VG_100K").glob("*.jpg"))
    half = len(images) // 2
    files = {f"/{path.name}": path.read_bytes() for path in vg.iterdir() if path.is_file()}
    files["/images.zip"] = zip_of({f"VG_100K/{p.name}": p.read_bytes() for p in images[:half]})
    files["/images2.zip"] = zip_of({f"VG_100K_2/{p.name}": p.read_bytes() for p in images[half:]})
    files["/glove.zip"] = zip_of({"glove.6B.200d.txt": b"cat 0.5 1\n", "glove.6B.50d.txt": b"cat 1\n"})
    with serve(files) as site:
        yield site


@pytest.fixture
def manifest(mirror):
    """The manifest of the mirror, as a dictionary."""
    names = ("vg/VG-SGG-with-attri.h5", "vg/VG-SGG-dicts-with-attri.json", "vg/image_data.json")
    labels = [
        {
            "to": to,
            "sources": [f"{mirror.url}/missing", f"{mirror.url}/{to.partition('/')[2]}"],
            "bytes": "not known",
            "sha256": hashlib.sha256(mirror.files["/" + to.partition("/")[2]]).hexdigest(),
        }
        for to in names
    ]
    images = [
        {"to": "vg/VG_100K", "archive": name, "unpack": "*.jpg", "lists": "vg/image_data.json", "pages": ["https://x/y"],
         "sources": [f"{mirror.url}/{name}"], "bytes": len(mirror.files["/" + name]), "sha256": "not known"}
        for name in ("images.zip", "images2.zip")
    ]  # fmt: skip
    glove = {
        "to": "glove",
        "archive": "glove.zip",
        "unpack": "glove.6B.200d.txt",
        "sources": [f"{mirror.url}/glove.zip"],
    }
    return {
        "vg": {
            "about": "labels",
            "files": labels,
            "counts": {"vg/VG-SGG-with-attri.h5": {"train": 25, "val": 10, "test": 27}},
        },
        "vg-images": {"about": "images", "files": images},
        "glove": {"about": "vectors", "files": [glove], "then": "GLOVE_DIR {data_dir}/glove"},
        "other": {"about": "by hand", "alternative": True, "files": [{"to": "other.bin", "pages": ["https://x/page"]}]},
    }


@pytest.fixture
def manifest_file(manifest, tmp_path):
    path = tmp_path / "manifest.yaml"
    path.write_text(yaml.safe_dump(manifest))
    return path
