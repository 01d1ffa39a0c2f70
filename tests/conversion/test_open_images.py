"""The relation csv of Open Images."""

import numpy as np
import pytest
from PIL import Image

from maskrcnn_benchmark.data.conversion import read_open_images
from maskrcnn_benchmark.utils.errors import InputError

HEAD = "ImageID,LabelName1,LabelName2,XMin1,XMax1,YMin1,YMax1,XMin2,XMax2,YMin2,YMax2,RelationshipLabel\n"
MAN, HORSE, OTHER = ("0.1,0.5,0.2,0.6", "0.0,1.0,0.5,1.0", "0.5,0.6,0.5,0.6")
ROWS = (
    f"aa,/m/1,/m/2,{MAN},{HORSE},on\n"
    f"aa,/m/2,/m/1,{HORSE},{MAN},under\n"
    f"aa,/m/1,/m/9,{MAN},{MAN},is\n"
    f"bb,/m/1,/m/2,{OTHER},{HORSE},interacts_with\n"
    f"cc,/m/1,/m/2,{OTHER},{HORSE},on\n"
)
NAMES = "LabelName,DisplayName\n/m/1,Man\n/m/2,Horse\n"


@pytest.fixture
def read(tmp_path):
    for name in ("aa", "bb"):
        Image.new("RGB", (200, 100)).save(tmp_path / f"{name}.jpg")

    def call(rows=ROWS, head=HEAD, names=NAMES):
        (tmp_path / "vrd.csv").write_text(head + rows)
        (tmp_path / "names.csv").write_text(names)
        return read_open_images(tmp_path / "vrd.csv", [tmp_path / "names.csv"], [tmp_path])

    return call


def test_relations_are_read(read):
    annotations = read()
    assert annotations.objects == ["Horse", "Man"] and annotations.predicates == ["interacts_with", "on", "under"]
    first, second = annotations.images
    assert first.file.name == "aa.jpg" and first.names == ["Man", "Horse"] and first.size == (200, 100)
    np.testing.assert_allclose(first.boxes, [[20, 20, 99, 59], [0, 50, 199, 99]])
    assert first.relations == [(0, "on", 1), (1, "under", 0)]
    assert second.relations == [(0, "interacts_with", 1)]


def test_attributes_and_images_that_are_not_there_are_counted(read):
    tally = read().tally
    assert tally.read == {"images": 3, "objects": 4, "relations": 5}
    assert {what: (count, first) for what, (count, first) in tally.left_out.items()} == {
        ("images", "they are in none of the folders"): (1, "cc"),
        ("relations", "their image is in none of the folders"): (1, "cc"),
        ("relations", "they are attributes (the predicate 'is')"): (1, "line 4"),
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"head": HEAD.replace("XMin1", "X")}, r"vrd\.csv has no column XMin1"),
        ({"rows": "aa,/m/1\n"}, "line 2: 2 values for 12 columns"),
        ({"rows": ROWS.replace("0.1,", "7,", 1)}, "line 2: a corner is at 7; it must be a share"),
        ({"rows": ROWS.replace("0.1,", "nan,", 1)}, "line 2: a corner is at nan; it must be a share"),
        ({"rows": ROWS.replace("0.1,", "x,", 1)}, "line 2: a corner is at x; it must be a share"),
        ({"names": "/m/1,Man\n"}, r"line 2: the class '/m/2' is in none of .*names\.csv"),
        ({"names": NAMES + "/m/1,Woman\n"}, "line 4: the class /m/1 is 'Woman' here, but 'Man' before"),
        ({"names": NAMES.replace("Horse", "Man")}, "line 2: the classes /m/1 and /m/2 are both called 'Man'"),
    ],
)
def test_what_is_wrong_is_named(read, given, message):
    with pytest.raises(InputError, match=message):
        read(**given)
