"""Images that annotations name."""

import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("a.jpg", "b.png"):
        Image.new("RGB", (40, 30)).save(tmp_path / "images" / name)
    return tmp_path
