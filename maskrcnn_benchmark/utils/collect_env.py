"""What a bug report needs to know of the machine."""

import PIL
from torch.utils.collect_env import get_pretty_env_info


def get_pil_version() -> str:
    return f"\n        Pillow ({PIL.__version__})"


def collect_env_info() -> str:
    """Versions of the system, PyTorch and Pillow as text."""
    return get_pretty_env_info() + get_pil_version()
