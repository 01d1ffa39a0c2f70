"""The files of configs/ that inherit from others."""

import itertools

import pytest
import yaml
from resolved_configs import CONFIGS, RECORD, resolved

INHERITED = sorted(path for path in CONFIGS.rglob("*.yaml") if path.parent.name == "base" and "demo" not in path.parts)


@pytest.fixture(scope="module")
def recorded():
    return yaml.safe_load(RECORD.read_text())


@pytest.fixture(scope="module")
def found():
    return resolved()


def test_they_come_to_what_is_recorded(recorded, found):
    """Where this fails after a change that was meant: python tests/resolved_configs.py"""
    assert {group: list(files) for group, files in found.items()} == {name: list(g) for name, g in recorded.items()}
    for group, files in recorded.items():
        for name, values in files.items():
            assert found[group][name] == values, name


@pytest.mark.parametrize("path", [pytest.param(path, id=str(path.relative_to(CONFIGS))) for path in INHERITED])
def test_every_value_that_others_inherit_has_a_reason(path):
    """Behind it or above it; what chooses the predictor and the task is told by the first line."""
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# ")
    for above, line in itertools.pairwise(lines):
        key, _, value = line.strip().partition(":")
        if value and key[0] not in "#_" and key not in ("PREDICTOR", "USE_GT_BOX", "USE_GT_OBJECT_LABEL"):
            assert "#" in value or above.lstrip().startswith("#"), line
