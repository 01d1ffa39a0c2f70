"""Changes of images with their boxes."""

from .build import build_transforms
from .transforms import ColorJitter, Compose, Normalize, RandomHorizontalFlip, RandomVerticalFlip, Resize, ToTensor

__all__ = [
    "ColorJitter",
    "Compose",
    "Normalize",
    "RandomHorizontalFlip",
    "RandomVerticalFlip",
    "Resize",
    "ToTensor",
    "build_transforms",
]
