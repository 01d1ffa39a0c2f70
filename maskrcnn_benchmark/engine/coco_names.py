"""Names between COCO's 80 classes and VG-150's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .given_boxes import plain

# COCO's number -> name. Numbers that are missing were never used.
COCO_IDS = {
    1: "person", 2: "bicycle", 3: "car", 4: "motorcycle", 5: "airplane", 6: "bus", 7: "train", 8: "truck", 9: "boat",
    10: "traffic light", 11: "fire hydrant", 13: "stop sign", 14: "parking meter", 15: "bench", 16: "bird", 17: "cat",
    18: "dog", 19: "horse", 20: "sheep", 21: "cow", 22: "elephant", 23: "bear", 24: "zebra", 25: "giraffe",
    27: "backpack", 28: "umbrella", 31: "handbag", 32: "tie", 33: "suitcase", 34: "frisbee", 35: "skis",
    36: "snowboard", 37: "sports ball", 38: "kite", 39: "baseball bat", 40: "baseball glove", 41: "skateboard",
    42: "surfboard", 43: "tennis racket", 44: "bottle", 46: "wine glass", 47: "cup", 48: "fork", 49: "knife",
    50: "spoon", 51: "bowl", 52: "banana", 53: "apple", 54: "sandwich", 55: "orange", 56: "broccoli", 57: "carrot",
    58: "hot dog", 59: "pizza", 60: "donut", 61: "cake", 62: "chair", 63: "couch", 64: "potted plant", 65: "bed",
    67: "dining table", 70: "toilet", 72: "tv", 73: "laptop", 74: "mouse", 75: "remote", 76: "keyboard",
    77: "cell phone", 78: "microwave", 79: "oven", 80: "toaster", 81: "sink", 82: "refrigerator", 84: "book",
    85: "clock", 86: "vase", 87: "scissors", 88: "teddy bear", 89: "hair drier", 90: "toothbrush",
}  # fmt: skip

# COCO's name -> VG-150's, where the two differ. What stands neither here nor in VG-150 has no counterpart there: fire
# hydrant, parking meter, frisbee, sports ball, baseball bat, knife, spoon, couch, mouse, remote, keyboard, microwave,
# oven, toaster, refrigerator, scissors, teddy bear, hair drier, toothbrush.
VG150_OF_COCO = {
    "bicycle": "bike",
    "traffic light": "light",
    "stop sign": "sign",
    "backpack": "bag",
    "handbag": "bag",
    "suitcase": "bag",
    "skis": "ski",
    "snowboard": "board",
    "baseball glove": "glove",
    "tennis racket": "racket",
    "wine glass": "glass",
    "apple": "fruit",
    "sandwich": "food",
    "broccoli": "vegetable",
    "carrot": "vegetable",
    "hot dog": "food",
    "donut": "food",
    "cake": "food",
    "potted plant": "plant",
    "dining table": "table",
    "tv": "screen",
    "cell phone": "phone",
}


def matching_names(found: Iterable[str], classes: Sequence[str]) -> dict[str, str]:
    """Name of a class of `classes` for each name of another detector; what has no counterpart is not in it.

    >>> matching_names(["person", "bicycle", "toaster"], ["bike", "person"]) == {"person": "person", "bicycle": "bike"}
    True
    """
    known = {plain(name): name for name in classes}
    names = {}
    for name in found:
        for candidate in (plain(name), VG150_OF_COCO.get(plain(name))):
            if candidate in known:
                names[name] = known[candidate]
                break
    return names
