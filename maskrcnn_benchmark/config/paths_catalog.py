"""Where data sets and published weights are found."""

from __future__ import annotations

import difflib
import os

from maskrcnn_benchmark.utils.errors import InputError

SPLITS = ("train", "val", "test")


def _visual_genome(folder: str, images: str, h5: str, dictionary: str, info: str) -> dict[str, str]:
    return {
        "img_dir": f"{folder}/{images}",
        "roidb_file": f"{folder}/{h5}",
        "dict_file": f"{folder}/{dictionary}",
        "image_file": f"{folder}/{info}",
    }


_VG_WITH_ATTRIBUTES = _visual_genome(
    "vg", "VG_100K", "VG-SGG-with-attri.h5", "VG-SGG-dicts-with-attri.json", "image_data.json"
)


class DatasetCatalog:
    """Data sets by name, `<name>_<split>`; all in the VG-SGG format below `DATASETS.DATA_DIR`."""

    DATASETS = {
        "VG_stanford_filtered": _visual_genome("vg", "VG_100K", "VG-SGG.h5", "VG-SGG-dicts.json", "image_data.json"),
        "VG_stanford_filtered_with_attribute": _VG_WITH_ATTRIBUTES,
        "GQA_200": _visual_genome("gqa", "images", "GQA-SGG.h5", "GQA-SGG-dicts.json", "image_data.json"),
    }

    @staticmethod
    def get(name: str, cfg) -> dict:
        """Factory name and arguments of a data set.

        Raises:
            InputError: a name that is not in the catalog.
        """
        base, _, split = name.rpartition("_")
        if split not in SPLITS or base not in DatasetCatalog.DATASETS:
            known = [f"{b}_{s}" for b in DatasetCatalog.DATASETS for s in SPLITS]
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InputError(f"data set {name} is not in the catalog, which has {', '.join(known)}{hint}")
        files = DatasetCatalog.DATASETS[base]
        args = {key: os.path.join(cfg.DATASETS.DATA_DIR, path) for key, path in files.items()}
        args.update(
            split=split,
            num_val_im=cfg.DATASETS.NUM_VAL_IM,
            # A pair with several predicates counts once in training; evaluation sees all of them.
            filter_non_overlap=(
                not cfg.MODEL.ROI_RELATION_HEAD.USE_GT_BOX
                and cfg.MODEL.RELATION_ON
                and cfg.MODEL.ROI_RELATION_HEAD.REQUIRE_BOX_OVERLAP
            ),
            filter_empty_rels=True,
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
        "MSRA/R-101": "ImageNetPretrained/MSRA/R-101.pkl",
        "FAIR/20171220/X-101-32x8d": "ImageNetPretrained/20171220/X-101-32x8d.pkl",
    }

    @staticmethod
    def get(name: str) -> str:
        """Address of the weights.

        Raises:
            InputError: a name that is not in the catalog.
        """
        prefix = "ImageNetPretrained/"
        if not name.startswith(prefix):
            raise InputError(
                f"catalog://{name} is not known; the catalog has "
                + ", ".join(f"catalog://{prefix}{known}" for known in ModelCatalog.C2_IMAGENET_MODELS)
            )
        return ModelCatalog.get_c2_imagenet_pretrained(name)

    @staticmethod
    def get_c2_imagenet_pretrained(name: str) -> str:
        """Address of an ImageNet backbone in Caffe2's format."""
        short = name[len("ImageNetPretrained/") :]
        if short not in ModelCatalog.C2_IMAGENET_MODELS:
            known = ", ".join(ModelCatalog.C2_IMAGENET_MODELS)
            raise InputError(f"catalog://{name} is not known; the ImageNet backbones are {known}")
        return f"{ModelCatalog.S3_C2_DETECTRON_URL}/{ModelCatalog.C2_IMAGENET_MODELS[short]}"
