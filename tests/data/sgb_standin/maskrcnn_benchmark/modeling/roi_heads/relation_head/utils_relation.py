from torch import nn


def layer_init(layer, init_para=0.1, normal=False, xavier=True):
    xavier = not normal
    if normal:
        nn.init.normal_(layer.weight, mean=0, std=init_para)
    elif xavier:
        nn.init.xavier_normal_(layer.weight, gain=1.0)
    nn.init.constant_(layer.bias, 0)
