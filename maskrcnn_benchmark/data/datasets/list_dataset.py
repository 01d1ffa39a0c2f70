"""Images from a list of files, without annotations."""

from __future__ import annotations

from torch.utils.data import Dataset

from maskrcnn_benchmark.structures.bounding_box import BoxList

from .images import image_size, load_image


class ListDataset(Dataset):
    """Samples (image, target); the target is one box around the whole image.

    Args:
        image_lists: paths of the images.
        transforms: called with (image, target).
    """

    def __init__(self, image_lists, transforms=None):
        self.image_lists = image_lists
        self.transforms = transforms

    def __getitem__(self, item: int):
        image = load_image(self.image_lists[item])
        target = BoxList([[0, 0, *image.size]], image.size, mode="xyxy")
        if self.transforms is not None:
            image, target = self.transforms(image, target)
        return image, target

    def __len__(self) -> int:
        return len(self.image_lists)

    def get_img_info(self, item: int) -> dict:
        """`width` and `height` of an image in pixels."""
        width, height = image_size(self.image_lists[item])
        return {"width": width, "height": height}
