from .build import get_dataset_statistics  # noqa: F401
