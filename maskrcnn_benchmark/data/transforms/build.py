"""The transforms that a configuration asks for."""

from . import transforms as T


def build_transforms(cfg, is_train: bool = True) -> T.Compose:
    """Training: colour jitter, resize, vertical flips as configured. Testing: resize. Then tensor and normalisation.

    As in SGB there are no horizontal flips here (they change what "left" means); MODEL.FLIP_AUG turns on the data
    set's.
    """
    inputs = cfg.INPUT
    if is_train:
        min_size, max_size = inputs.MIN_SIZE_TRAIN, inputs.MAX_SIZE_TRAIN
        random_steps = [
            T.ColorJitter(inputs.BRIGHTNESS, inputs.CONTRAST, inputs.SATURATION, inputs.HUE),
            T.RandomVerticalFlip(inputs.VERTICAL_FLIP_PROB_TRAIN),
        ]
    else:
        min_size, max_size = inputs.MIN_SIZE_TEST, inputs.MAX_SIZE_TEST
        random_steps = []
    return T.Compose(
        [
            *random_steps[:1],
            T.Resize(min_size, max_size),
            *random_steps[1:],
            T.ToTensor(),
            T.Normalize(inputs.PIXEL_MEAN, inputs.PIXEL_STD, to_bgr255=inputs.TO_BGR255),
        ]
    )
