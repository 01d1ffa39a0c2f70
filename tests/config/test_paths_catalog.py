"""The catalogs of data sets and published weights."""

import os

import pytest

from maskrcnn_benchmark.config import cfg as default
from maskrcnn_benchmark.config import paths_catalog
from maskrcnn_benchmark.config.paths_catalog import DatasetCatalog, ModelCatalog, load_catalog
from maskrcnn_benchmark.utils.errors import InputError


@pytest.fixture
def config():
    return default.clone()


def test_data_sets_lie_below_the_data_folder(config):
    config.merge_from_list(["DATASETS.DATA_DIR", "/data", "DATASETS.NUM_VAL_IM", 10])
    entry = DatasetCatalog.get("VG_stanford_filtered_with_attribute_val", config)
    assert entry["factory"] == "VGDataset"
    args = entry["args"]
    assert args["roidb_file"] == os.path.join("/data", "vg/VG-SGG-with-attri.h5")
    assert args["dict_file"] == os.path.join("/data", "vg/VG-SGG-dicts-with-attri.json")
    assert (args["split"], args["num_val_im"]) == ("val", 10)
    assert all(
        path.startswith(os.path.join("/data", "gqa"))
        for key, path in DatasetCatalog.get("GQA_200_test", config)["args"].items()
        if key in ("img_dir", "roidb_file", "dict_file", "image_file")
    )


@pytest.mark.parametrize(
    ("relation", "gt_box", "overlap", "expected"),
    [
        (False, False, True, (False, False)),  # the detector: all images
        (True, True, True, (True, False)),  # boxes are given: every pair may be related
        (True, False, True, (True, True)),
        (True, False, False, (True, False)),
    ],
)
def test_filters_follow_the_task(config, relation, gt_box, overlap, expected):
    head = "MODEL.ROI_RELATION_HEAD."
    config.merge_from_list(
        ["MODEL.RELATION_ON", relation, head + "USE_GT_BOX", gt_box, head + "REQUIRE_BOX_OVERLAP", overlap]
    )
    args = DatasetCatalog.get("VG_stanford_filtered_train", config)["args"]
    assert (args["filter_empty_rels"], args["filter_non_overlap"]) == expected


@pytest.mark.parametrize("name", ["VG_train", "VG_stanford_filtered", "VG_stanford_filtered_dev", "coco_2017_train"])
def test_unknown_data_set_lists_those_that_exist(config, name):
    with pytest.raises(
        InputError, match=f"data set '{name}' .* VG_stanford_filtered, .* GQA_200.* _train, _val, _test"
    ):
        DatasetCatalog.get(name, config)


def test_weights_have_their_published_addresses():
    root = "https://dl.fbaipublicfiles.com/detectron/"
    assert ModelCatalog.get("ImageNetPretrained/torchvision/VGG-16") == (
        "https://download.pytorch.org/models/vgg16-397923af.pth"
    )
    assert ModelCatalog.get("ImageNetPretrained/FAIR/20171220/X-101-32x8d") == (
        root + "ImageNetPretrained/20171220/X-101-32x8d.pkl"
    )
    assert ModelCatalog.get("Caffe2Detectron/COCO/35857345/e2e_faster_rcnn_R-50-FPN_1x") == (
        root + "35857345/12_2017_baselines/e2e_faster_rcnn_R-50-FPN_1x.yaml.01_36_30.cUF7QR7I/output/train/"
        "coco_2014_train%3Acoco_2014_valminusminival/generalized_rcnn/model_final.pkl"
    )


@pytest.mark.parametrize("name", ["ImageNetPretrained/R-18", "MSRA/R-50", "Caffe2Detectron/COCO/none"])
def test_unknown_weights_list_those_that_exist(name):
    with pytest.raises(
        InputError, match=f"catalog://{name} is not in the catalog, which has ImageNetPretrained/MSRA/R-50"
    ):
        ModelCatalog.get(name)


def test_the_catalog_of_any_checkout_is_the_one_here(config):
    assert load_catalog(config) is paths_catalog
    config.PATHS_CATALOG = "/gone/maskrcnn_benchmark/config/paths_catalog.py"
    assert load_catalog(config) is paths_catalog


def test_a_catalog_of_ones_own(config, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from maskrcnn_benchmark.config.paths_catalog import DatasetCatalog as Base, ModelCatalog\n"
        "class DatasetCatalog(Base):\n"
        "    DATASETS = {**Base.DATASETS, 'mine': {'img_dir': 'm', 'roidb_file': 'm.h5', 'dict_file': 'm.json',"
        " 'image_file': 'i.json'}}\n"
    )
    config.PATHS_CATALOG = str(path)
    catalog = load_catalog(config)
    assert catalog.DatasetCatalog.get("mine_test", config)["args"]["img_dir"] == os.path.join("datasets", "m")
    assert "mine" not in DatasetCatalog.DATASETS


def test_a_catalog_that_is_missing(config, tmp_path):
    config.PATHS_CATALOG = str(tmp_path / "none.py")
    with pytest.raises(InputError, match=r"none.py' is no Python file"):
        load_catalog(config)
