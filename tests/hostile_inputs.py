"""Inputs that nobody should trust: what each is, how it is made, which tool reads it, and what the tool must say."""

from __future__ import annotations

from hostile_common import Row
from hostile_files import bank_rows, config_rows, h5_rows, image_rows
from hostile_json import changed_rows, json_rows
from hostile_weights import caffe2_rows, weight_rows


def rows() -> list[Row]:
    return [
        *json_rows(), *changed_rows(), *h5_rows(), *weight_rows(), *caffe2_rows(), *config_rows(), *image_rows(),
        *bank_rows(),
    ]  # fmt: skip
