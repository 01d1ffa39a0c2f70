import torch


def get_dataset_statistics(cfg):
    num_obj = cfg.MODEL.ROI_BOX_HEAD.NUM_CLASSES
    num_rel = cfg.MODEL.ROI_RELATION_HEAD.NUM_CLASSES
    generator = torch.Generator().manual_seed(0)
    fg_matrix = (torch.rand(num_obj, num_obj, num_rel, generator=generator) < 0.3).long() * 5
    counts = fg_matrix.float() + 1
    return {
        "fg_matrix": fg_matrix,
        "pred_dist": torch.log(counts / counts.sum(2)[:, :, None] + 1e-3),
        "obj_classes": ["__background__"] + [f"object{i}" for i in range(1, num_obj)],
        "rel_classes": ["__background__"] + [f"predicate{i}" for i in range(1, num_rel)],
        "att_classes": ["__background__"],
    }
