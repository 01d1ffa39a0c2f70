"""Where data sets and published weights are found.

The command line may name a file of its own in `PATHS_CATALOG`; it needs the same two classes (derived from these, for
example). `load_catalog` returns the module that counts.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType

from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.imports import import_file

# How the default of PATHS_CATALOG ends in every checkout of this project and of SGB.
_DEFAULT_ENDING = "maskrcnn_benchmark/config/paths_catalog.py"


def is_default(path: str) -> bool:
    """Whether this module is meant, by no path or by its path in any checkout."""
    return not path or path.replace(os.sep, "/").endswith(_DEFAULT_ENDING)


def load_catalog(cfg) -> ModuleType:
    """The module with `DatasetCatalog` and `ModelCatalog` that the configuration names.

    The default path of any checkout stands for this module: configurations that were written on another machine, or by
    SGB, carry the absolute path of their own.

    Raises:
        InputError: PATHS_CATALOG is no Python file.
    """
    if is_default(cfg.PATHS_CATALOG):
        return sys.modules[__name__]
    return import_file("maskrcnn_benchmark.config.custom_paths_catalog", cfg.PATHS_CATALOG, make_importable=True)


class DatasetCatalog:
    """Data sets by name, `<name>_<split>`; all in the VG-SGG format below `DATASETS.DATA_DIR`."""

    SPLITS = ("train", "val", "test")
    DATASETS = {
        "VG_stanford_filtered": {
            "img_dir": "vg/VG_100K",
            "roidb_file": "vg/VG-SGG.h5",
            "dict_file": "vg/VG-SGG-dicts.json",
            "image_file": "vg/image_data.json",
        },
        "VG_stanford_filtered_with_attribute": {
            "img_dir": "vg/VG_100K",
            "roidb_file": "vg/VG-SGG-with-attri.h5",
            "dict_file": "vg/VG-SGG-dicts-with-attri.json",
            "image_file": "vg/image_data.json",
        },
        "GQA_200": {
            "img_dir": "gqa/images",
            "roidb_file": "gqa/GQA-SGG.h5",
            "dict_file": "gqa/GQA-SGG-dicts.json",
            "image_file": "gqa/image_data.json",
        },
    }

    @classmethod
    def get(cls, name: str, cfg) -> dict:
        """Factory name and arguments of a data set.

        Raises:
            InputError: a name that is not in the catalog.
        """
        base, _, split = name.rpartition("_")
        if split not in cls.SPLITS or base not in cls.DATASETS:
            raise InputError(
                f"data set {name!r} is not in the catalog, which has {', '.join(cls.DATASETS)}, "
                f"each followed by _{', _'.join(cls.SPLITS)}"
            )
        relation = cfg.MODEL.ROI_RELATION_HEAD
        args = {key: os.path.join(cfg.DATASETS.DATA_DIR, path) for key, path in cls.DATASETS[base].items()}
        args.update(
            split=split,
            num_val_im=cfg.DATASETS.NUM_VAL_IM,
            # Pairs that do not overlap are no samples where boxes are detected and overlap is required.
            filter_non_overlap=cfg.MODEL.RELATION_ON and not relation.USE_GT_BOX and relation.REQUIRE_BOX_OVERLAP,
            # The detector learns from all images, the relation head from those with relations.
            filter_empty_rels=cfg.MODEL.RELATION_ON,
            flip_aug=cfg.MODEL.FLIP_AUG,
            custom_eval=cfg.TEST.CUSTUM_EVAL,
            custom_path=cfg.TEST.CUSTUM_PATH,
        )
        return {"factory": "VGDataset", "args": args}


class ModelCatalog:
    """Published weights by the names that follow `catalog://`."""

    S3_C2_DETECTRON_URL = "https://dl.fbaipublicfiles.com/detectron"
    C2_IMAGENET_MODELS = {
        "MSRA/R-50": "ImageNetPretrained/MSRA/R-50.pkl",
        "MSRA/R-50-GN": "ImageNetPretrained/47261647/R-50-GN.pkl",
        "MSRA/R-101": "ImageNetPretrained/MSRA/R-101.pkl",
        "MSRA/R-101-GN": "ImageNetPretrained/47592356/R-101-GN.pkl",
        "FAIR/20171220/X-101-32x8d": "ImageNetPretrained/20171220/X-101-32x8d.pkl",
    }
    # Faster R-CNN on COCO: <number>/<configuration> -> what follows the configuration's name in the address.
    C2_DETECTRON_MODELS = {
        "35857197/e2e_faster_rcnn_R-50-C4_1x": "01_33_49.iAX0mXvW",
        "35857345/e2e_faster_rcnn_R-50-FPN_1x": "01_36_30.cUF7QR7I",
        "35857890/e2e_faster_rcnn_R-101-FPN_1x": "01_38_50.sNxI7sX7",
        "36761737/e2e_faster_rcnn_X-101-32x8d-FPN_1x": "06_31_39.5MIHi1fZ",
    }
    TORCHVISION_MODELS = {"torchvision/VGG-16": "https://download.pytorch.org/models/vgg16-397923af.pth"}
    _IMAGENET, _DETECTRON = "ImageNetPretrained/", "Caffe2Detectron/COCO/"

    @classmethod
    def get(cls, name: str) -> str:
        """Address of the weights.

        Raises:
            InputError: a name that is not in the catalog.
        """
        if name.startswith(cls._DETECTRON):
            return cls.get_c2_detectron_12_2017_baselines(name)
        if name.removeprefix(cls._IMAGENET) in cls.TORCHVISION_MODELS:
            return cls._entry(name, cls._IMAGENET, cls.TORCHVISION_MODELS)
        return cls.get_c2_imagenet_pretrained(name)

    @classmethod
    def get_c2_imagenet_pretrained(cls, name: str) -> str:
        """Address of an ImageNet backbone in Caffe2's format."""
        return f"{cls.S3_C2_DETECTRON_URL}/{cls._entry(name, cls._IMAGENET, cls.C2_IMAGENET_MODELS)}"

    @classmethod
    def get_c2_detectron_12_2017_baselines(cls, name: str) -> str:
        """Address of a detector for COCO in Caffe2's format."""
        signature = cls._entry(name, cls._DETECTRON, cls.C2_DETECTRON_MODELS)
        number, configuration = name.removeprefix(cls._DETECTRON).split("/")
        data = "coco_2014_train%3Acoco_2014_valminusminival"
        return (
            f"{cls.S3_C2_DETECTRON_URL}/{number}/12_2017_baselines/{configuration}.yaml.{signature}/output/train/{data}"
            "/generalized_rcnn/model_final.pkl"
        )

    @classmethod
    def _entry(cls, name: str, prefix: str, models: dict[str, str]) -> str:
        key = name.removeprefix(prefix)
        if not name.startswith(prefix) or key not in models:
            known = [cls._IMAGENET + k for k in (*cls.C2_IMAGENET_MODELS, *cls.TORCHVISION_MODELS)]
            known += [cls._DETECTRON + k for k in cls.C2_DETECTRON_MODELS]
            raise InputError(f"catalog://{name} is not in the catalog, which has {', '.join(known)}")
        return models[key]
