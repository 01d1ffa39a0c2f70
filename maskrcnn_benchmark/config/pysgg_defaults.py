"""Keys of PySGG and of its fork SQUAT, with their defaults, for the predictors BGNN, GPS-Net and SQUAT.

They are added to MODEL.ROI_RELATION_HEAD. What a predictor cannot do it refuses by the key's name. Some keys exist only
so that files written for PySGG load, and change nothing here: EVALUATE_REL_PROPOSAL, of RELATION_PROPOSAL_MODEL
FIX_MODEL_AT_ITER, PAIR_NUMS_AFTER_FILTERING, IGNORE_FOREGROUND_BOXES_PAIRS and USE_SAME_LABEL_WITH_CLSER,
SQUAT_MODULE.SLOW_MASK_PREDICTOR, BGNN_MODULE.EDGE_FEATURES_REPRESENTATION, and of GPSNET_MODULE ITERATE_MP_PAIR_REFINE
and MP_VALID_PAIRS_NUM. In PySGG these have no effect on these models either.
"""

from .node import ConfigNode as CN


def add_pysgg_keys(head: CN) -> None:
    """Add the keys to the node MODEL.ROI_RELATION_HEAD."""
    # In SGDet tests at most so many pairs of an image are looked at, those of the highest product of scores. PySGG's
    # default is 2048 and its files say 4096; 0, all of them, is what SGB does.
    head.MAX_PROPOSAL_PAIR = 0
    # Features of pairs: union boxes, both objects (obj_pair), or both of these (fusion).
    head.EDGE_FEATURES_REPRESENTATION = "union"
    head.FREQUENCY_BAIS = True
    head.WORD_EMBEDDING_FEATURES = True
    head.GEOMETRIC_FEATURES = True
    # Learn object labels, too; use them in tests (REFINE) in place of the detector's or added to them (MANNER).
    head.REL_OBJ_MULTI_TASK_LOSS = False
    head.OBJECT_CLASSIFICATION_REFINE = False
    head.OBJECT_CLASSIFICATION_MANNER = "replace"
    head.CLASSIFIER = "linear"
    head.CLASSIFIER_WEIGHT_SCALE = False
    head.FIX_CLASSIFIER_WEIGHT = False
    head.USE_BINARY_LOSS = False
    head.EVALUATE_REL_PROPOSAL = True

    proposal = head.RELATION_PROPOSAL_MODEL = CN()
    proposal.SET_ON = False
    proposal.METHOD = "gt"
    proposal.PRETRAIN_RELNESS_MODULE = False
    proposal.PRETRAIN_ITER_RELNESS_MODULE = 2000
    proposal.PRE_CLSER_LOSS = "bce"
    proposal.REL_AWARE_PREDICTOR_TYPE = "single"
    proposal.FOCAL_LOSS_ALPHA = 1.0
    proposal.FOCAL_LOSS_GAMMA = 0.0
    proposal.VISUAL_FEATURES_ON = True
    proposal.USE_RELATEDNESS_FOR_PREDICTION_RANKING = False
    proposal.EVAL_MODEL_AUC = False
    proposal.FIX_MODEL_AT_ITER = -1
    proposal.PAIR_NUMS_AFTER_FILTERING = -1
    proposal.IGNORE_FOREGROUND_BOXES_PAIRS = False
    proposal.USE_SAME_LABEL_WITH_CLSER = True

    bgnn = head.BGNN_MODULE = CN()
    bgnn.GRAPH_HIDDEN_DIM = 512
    bgnn.GRAPH_ITERATION_NUM = 3
    bgnn.ITERATE_MP_PAIR_REFINE = 0
    bgnn.SHARE_PARAMETERS_EACH_ITER = True
    bgnn.SHARE_RELATED_MODEL_ACROSS_REFINE_ITER = False
    bgnn.RELATION_CONFIDENCE_AWARE = False
    bgnn.MP_ON_VALID_PAIRS = False
    bgnn.MP_VALID_PAIRS_NUM = 200  # minmax: the best pairs that set the bounds
    bgnn.RELNESS_MP_WEIGHTING = False
    bgnn.RELNESS_MP_WEIGHTING_SCORE_RECALIBRATION_METHOD = "minmax"  # or learnable_scaling
    bgnn.LEARNABLE_SCALING_WEIGHT = (2.5, 0.03)
    bgnn.APPLY_GT = False
    bgnn.SPLIT_GRAPH4OBJ_REL = False
    bgnn.GATING_WITH_RELNESS_LOGITS = False
    bgnn.SKIP_CONNECTION_ON_OUTPUT = False
    bgnn.EDGE_FEATURES_REPRESENTATION = "union"

    gpsnet = head.GPSNET_MODULE = CN()
    gpsnet.GRAPH_HIDDEN_DIM = 512
    gpsnet.GRAPH_ITERATION_NUM = 2
    gpsnet.MP_ON_VALID_PAIRS = False
    gpsnet.RELNESS_MP_WEIGHTING = False
    gpsnet.ITERATE_MP_PAIR_REFINE = 2
    gpsnet.MP_VALID_PAIRS_NUM = 200

    squat = head.SQUAT_MODULE = CN()
    squat.GRAPH_HIDDEN_DIM = 512
    squat.NUM_DECODER = 3
    squat.RHO = 1.0  # share of an image's pairs that are updated
    squat.BETA = 1.0  # share that these look at
    squat.LOSS_COEF = 1.0
    squat.PRETRAIN_MASK = True
    squat.PRETRAIN_MASK_ITER = 2000
    squat.PRE_NORM = False
    squat.SLOW_MASK_PREDICTOR = True
