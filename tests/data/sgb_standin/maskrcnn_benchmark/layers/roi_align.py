import torchvision


def _apply(*inputs):
    """SGB's is the `apply` of an autograd function, whose arguments have no names."""
    return torchvision.ops.roi_align(*inputs)


roi_align = _apply
