import torch


def to_onehot(vec, num_classes, fill=1000):
    onehot = vec.new(vec.size(0), num_classes).float().fill_(-fill)
    onehot[torch.arange(vec.size(0)), vec.long()] = fill
    return onehot


def encode_box_info(proposals):
    assert proposals[0].mode == "xyxy"
    return torch.cat([torch.cat([p.bbox, p.bbox, p.bbox[:, :1]], dim=1) / max(p.size) for p in proposals], dim=0)
