"""Data files of tests of distant supervision."""

import json

import h5py
import pytest


@pytest.fixture
def write_h5(tmp_path):
    """Write arrays as <name>.h5, with an array that the format does not know; the path."""

    def write(arrays, name="VG-SGG.h5"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            for key, values in arrays.items():
                file[key] = values
            file["boxes_512"] = arrays["boxes_1024"] // 2
            file.attrs["made by"] = "a test"
        return path

    return write


@pytest.fixture
def write_json(tmp_path):
    """Write a json file; the path."""

    def write(content, name="base.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write
