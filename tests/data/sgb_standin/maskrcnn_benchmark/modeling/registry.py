from maskrcnn_benchmark.utils.registry import Registry

ROI_RELATION_PREDICTOR = Registry()
