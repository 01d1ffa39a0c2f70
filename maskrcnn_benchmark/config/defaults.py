"""All configuration keys with their defaults.

Names and defaults are those of Scene-Graph-Benchmark.pytorch; the keys that this project adds say so. Some of SGB's
exist only so that its files load, and change nothing here: MODEL.ROI_ATTRIBUTE_HEAD, RESNETS.DEFORMABLE_GROUPS,
ROI_RELATION_HEAD.REL_PROP, SOLVER.CLIP_NORM (GRAD_NORM_CLIP clips), TEST.EXPECTED_RESULTS and its tolerance,
TEST.DETECTIONS_PER_IMG (that of ROI_HEADS counts), AMP_VERBOSE. What asks for a part that is left out is refused by
`load.check_left_out`.
"""

from pathlib import Path

import torch

from .node import ConfigNode as CN
from .pysgg_defaults import add_pysgg_keys

_C = CN()

_C.MODEL = CN()
_C.MODEL.FLIP_AUG = False
_C.MODEL.RPN_ONLY = False
_C.MODEL.MASK_ON = False
_C.MODEL.RETINANET_ON = False
_C.MODEL.KEYPOINT_ON = False
_C.MODEL.ATTRIBUTE_ON = False
_C.MODEL.RELATION_ON = False
# SGB's default is "cuda"; here a machine without one works unchanged.
_C.MODEL.DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
_C.MODEL.META_ARCHITECTURE = "GeneralizedRCNN"
_C.MODEL.CLS_AGNOSTIC_BBOX_REG = False
# Weights to start from: a file, a catalog:// name, or "" for none.
_C.MODEL.WEIGHT = ""
# The detector that relation training starts from; wins over what the output folder's last_checkpoint names.
_C.MODEL.PRETRAINED_DETECTOR_CKPT = ""

_C.INPUT = CN()
_C.INPUT.MIN_SIZE_TRAIN = (800,)
_C.INPUT.MAX_SIZE_TRAIN = 1333
_C.INPUT.MIN_SIZE_TEST = 800
_C.INPUT.MAX_SIZE_TEST = 1333
_C.INPUT.PIXEL_MEAN = [102.9801, 115.9465, 122.7717]
_C.INPUT.PIXEL_STD = [1.0, 1.0, 1.0]
_C.INPUT.TO_BGR255 = True
_C.INPUT.BRIGHTNESS = 0.0
_C.INPUT.CONTRAST = 0.0
_C.INPUT.SATURATION = 0.0
_C.INPUT.HUE = 0.0
_C.INPUT.VERTICAL_FLIP_PROB_TRAIN = 0.0
# Added by this project: one's own images with more pixels are decoded at a half, a quarter or an eighth of their width
# and height (JPEG) or refused, before they fill the memory. Data sets are read as they are.
_C.INPUT.MAX_PIXELS = 60_000_000

_C.DATASETS = CN()
_C.DATASETS.TRAIN = ()
_C.DATASETS.VAL = ()
_C.DATASETS.TEST = ()
_C.DATASETS.TO_TEST = None
# Added by this project: root of all data sets.
_C.DATASETS.DATA_DIR = "datasets"
# Added by this project: how many training images serve for validation where the h5 marks none.
_C.DATASETS.NUM_VAL_IM = 5000
# Added by this project: False counts all relations and pairs for the frequency bias and RelCLIP's dictionary; True, as
# SGB does, those of overlapping boxes only. Where many related boxes do not overlap, True miscounts predicates.
_C.DATASETS.STATISTICS_OVERLAP = True

_C.DATALOADER = CN()
_C.DATALOADER.NUM_WORKERS = 4
_C.DATALOADER.SIZE_DIVISIBILITY = 0
_C.DATALOADER.ASPECT_RATIO_GROUPING = True

_C.MODEL.BACKBONE = CN()
_C.MODEL.BACKBONE.CONV_BODY = "R-50-C4"
_C.MODEL.BACKBONE.FREEZE_CONV_BODY_AT = 2
# Added by this project: folder that keeps the feature maps of images, for relation models on small data, which epochs
# and runs then share (modeling/backbone/feature_cache.py). Empty: none.
_C.MODEL.BACKBONE.FEATURE_CACHE = ""
# Added by this project: how they are kept; float16 and bfloat16 take half the room of float32.
_C.MODEL.BACKBONE.FEATURE_CACHE_DTYPE = "float32"
# Added by this project: compile the backbone with torch.compile, for any size of images. docs/performance.md says what
# that is worth.
_C.MODEL.BACKBONE.COMPILE = False

_C.MODEL.FPN = CN()
_C.MODEL.FPN.USE_GN = False
_C.MODEL.FPN.USE_RELU = False

_C.MODEL.GROUP_NORM = CN()
_C.MODEL.GROUP_NORM.DIM_PER_GP = -1
_C.MODEL.GROUP_NORM.NUM_GROUPS = 32
_C.MODEL.GROUP_NORM.EPSILON = 1e-5

_C.MODEL.VGG = CN()
_C.MODEL.VGG.VGG16_OUT_CHANNELS = 512

_C.MODEL.RESNETS = CN()
_C.MODEL.RESNETS.NUM_GROUPS = 1
_C.MODEL.RESNETS.WIDTH_PER_GROUP = 64
# SGB puts the stride on the 1x1 convolution, as the Caffe2 weights want it.
_C.MODEL.RESNETS.STRIDE_IN_1X1 = True
_C.MODEL.RESNETS.TRANS_FUNC = "BottleneckWithFixedBatchNorm"
_C.MODEL.RESNETS.STEM_FUNC = "StemWithFixedBatchNorm"
_C.MODEL.RESNETS.RES5_DILATION = 1
_C.MODEL.RESNETS.BACKBONE_OUT_CHANNELS = 256 * 4
_C.MODEL.RESNETS.RES2_OUT_CHANNELS = 256
_C.MODEL.RESNETS.STEM_OUT_CHANNELS = 64
_C.MODEL.RESNETS.STAGE_WITH_DCN = (False, False, False, False)
_C.MODEL.RESNETS.WITH_MODULATED_DCN = False
_C.MODEL.RESNETS.DEFORMABLE_GROUPS = 1

_C.MODEL.RPN = CN()
_C.MODEL.RPN.USE_FPN = False
_C.MODEL.RPN.RPN_MID_CHANNEL = 512
_C.MODEL.RPN.ANCHOR_SIZES = (32, 64, 128, 256, 512)
_C.MODEL.RPN.ANCHOR_STRIDE = (16,)
_C.MODEL.RPN.ASPECT_RATIOS = (0.5, 1.0, 2.0)
_C.MODEL.RPN.STRADDLE_THRESH = 0
_C.MODEL.RPN.FG_IOU_THRESHOLD = 0.7
_C.MODEL.RPN.BG_IOU_THRESHOLD = 0.3
_C.MODEL.RPN.BATCH_SIZE_PER_IMAGE = 256
_C.MODEL.RPN.POSITIVE_FRACTION = 0.5
_C.MODEL.RPN.PRE_NMS_TOP_N_TRAIN = 12000
_C.MODEL.RPN.PRE_NMS_TOP_N_TEST = 6000
_C.MODEL.RPN.POST_NMS_TOP_N_TRAIN = 2000
_C.MODEL.RPN.POST_NMS_TOP_N_TEST = 1000
_C.MODEL.RPN.NMS_THRESH = 0.7
_C.MODEL.RPN.MIN_SIZE = 0
_C.MODEL.RPN.FPN_POST_NMS_TOP_N_TRAIN = 2000
_C.MODEL.RPN.FPN_POST_NMS_TOP_N_TEST = 2000
_C.MODEL.RPN.FPN_POST_NMS_PER_BATCH = True
_C.MODEL.RPN.RPN_HEAD = "SingleConvRPNHead"

_C.MODEL.ROI_HEADS = CN()
_C.MODEL.ROI_HEADS.USE_FPN = False
_C.MODEL.ROI_HEADS.FG_IOU_THRESHOLD = 0.5
_C.MODEL.ROI_HEADS.BG_IOU_THRESHOLD = 0.3
_C.MODEL.ROI_HEADS.BBOX_REG_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
_C.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE = 256
_C.MODEL.ROI_HEADS.POSITIVE_FRACTION = 0.25
_C.MODEL.ROI_HEADS.SCORE_THRESH = 0.01
_C.MODEL.ROI_HEADS.NMS = 0.3
# Keep one box per object: of all its classes only the best that survives NMS.
_C.MODEL.ROI_HEADS.NMS_FILTER_DUPLICATES = False
_C.MODEL.ROI_HEADS.POST_NMS_PER_CLS_TOPN = 300
_C.MODEL.ROI_HEADS.DETECTIONS_PER_IMG = 256

_C.MODEL.ROI_BOX_HEAD = CN()
_C.MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR = "ResNet50Conv5ROIFeatureExtractor"
_C.MODEL.ROI_BOX_HEAD.PREDICTOR = "FastRCNNPredictor"
_C.MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION = 14
_C.MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO = 0
_C.MODEL.ROI_BOX_HEAD.POOLER_SCALES = (1.0 / 16,)
_C.MODEL.ROI_BOX_HEAD.NUM_CLASSES = 81
_C.MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM = 2048
_C.MODEL.ROI_BOX_HEAD.USE_GN = False
_C.MODEL.ROI_BOX_HEAD.DILATION = 1
_C.MODEL.ROI_BOX_HEAD.CONV_HEAD_DIM = 256
_C.MODEL.ROI_BOX_HEAD.NUM_STACKED_CONVS = 4

_C.MODEL.ROI_ATTRIBUTE_HEAD = CN()
_C.MODEL.ROI_ATTRIBUTE_HEAD.FEATURE_EXTRACTOR = "FPN2MLPFeatureExtractor"
_C.MODEL.ROI_ATTRIBUTE_HEAD.PREDICTOR = "FPNPredictor"
_C.MODEL.ROI_ATTRIBUTE_HEAD.SHARE_BOX_FEATURE_EXTRACTOR = True
_C.MODEL.ROI_ATTRIBUTE_HEAD.USE_BINARY_LOSS = True
_C.MODEL.ROI_ATTRIBUTE_HEAD.ATTRIBUTE_LOSS_WEIGHT = 0.1
_C.MODEL.ROI_ATTRIBUTE_HEAD.NUM_ATTRIBUTES = 201
_C.MODEL.ROI_ATTRIBUTE_HEAD.MAX_ATTRIBUTES = 10
_C.MODEL.ROI_ATTRIBUTE_HEAD.ATTRIBUTE_BGFG_SAMPLE = True
_C.MODEL.ROI_ATTRIBUTE_HEAD.ATTRIBUTE_BGFG_RATIO = 3
_C.MODEL.ROI_ATTRIBUTE_HEAD.POS_WEIGHT = 5.0

_C.MODEL.ROI_RELATION_HEAD = CN()
_C.MODEL.ROI_RELATION_HEAD.PREDICTOR = "MotifPredictor"
_C.MODEL.ROI_RELATION_HEAD.FEATURE_EXTRACTOR = "RelationFeatureExtractor"
# Where the object embeddings of the contexts start: glove, clip or random. Added by this project.
_C.MODEL.ROI_RELATION_HEAD.WORD_EMBEDDING = "glove"
_C.MODEL.ROI_RELATION_HEAD.POOLING_ALL_LEVELS = True
_C.MODEL.ROI_RELATION_HEAD.NUM_CLASSES = 51
_C.MODEL.ROI_RELATION_HEAD.BATCH_SIZE_PER_IMAGE = 64
_C.MODEL.ROI_RELATION_HEAD.POSITIVE_FRACTION = 0.25
# PredCls: both; SGCls: boxes only; SGDet: neither.
_C.MODEL.ROI_RELATION_HEAD.USE_GT_BOX = True
_C.MODEL.ROI_RELATION_HEAD.USE_GT_OBJECT_LABEL = False
_C.MODEL.ROI_RELATION_HEAD.EMBED_DIM = 200
_C.MODEL.ROI_RELATION_HEAD.CONTEXT_DROPOUT_RATE = 0.2
_C.MODEL.ROI_RELATION_HEAD.CONTEXT_HIDDEN_DIM = 512
_C.MODEL.ROI_RELATION_HEAD.CONTEXT_POOLING_DIM = 4096
_C.MODEL.ROI_RELATION_HEAD.CONTEXT_OBJ_LAYER = 1
_C.MODEL.ROI_RELATION_HEAD.CONTEXT_REL_LAYER = 1
_C.MODEL.ROI_RELATION_HEAD.LABEL_SMOOTHING_LOSS = False
_C.MODEL.ROI_RELATION_HEAD.PREDICT_USE_VISION = True
_C.MODEL.ROI_RELATION_HEAD.PREDICT_USE_BIAS = True
# Added by this project: the frequency bias is the phrase prior instead of SGB's table (relation_head/phrase_prior.py).
_C.MODEL.ROI_RELATION_HEAD.PHRASE_PRIOR = CN()
_C.MODEL.ROI_RELATION_HEAD.PHRASE_PRIOR.ON = False
# Classes whose phrases are alike share their counts; the cosine distance at which one class counts 1/e as much for
# another as for itself. 0: they share nothing.
_C.MODEL.ROI_RELATION_HEAD.PHRASE_PRIOR.WIDTH = 0.2
# In training, the bias of a pair of classes leaves out what was counted of this very pair.
_C.MODEL.ROI_RELATION_HEAD.PHRASE_PRIOR.LEAVE_OUT = True
# Added by this project: in evaluation CLIP's image tower is asked about the predicates of the likeliest pairs
# (relation_head/second_opinion.py). Its weight; 0: it is not asked.
_C.MODEL.ROI_RELATION_HEAD.SECOND_OPINION = CN()
_C.MODEL.ROI_RELATION_HEAD.SECOND_OPINION.WEIGHT = 0.0
# It looks at so many pairs of an image, those with the highest scores.
_C.MODEL.ROI_RELATION_HEAD.SECOND_OPINION.PAIRS = 256
# How a pair's box becomes a square: pad (proportions are kept) | stretch; and what is added on each side, as a share of
# the box's width and height.
_C.MODEL.ROI_RELATION_HEAD.SECOND_OPINION.FIT = "pad"
_C.MODEL.ROI_RELATION_HEAD.SECOND_OPINION.MARGIN = 0.1
# Embeddings of crops are kept in this folder, two bytes a number; "" keeps none.
_C.MODEL.ROI_RELATION_HEAD.SECOND_OPINION.CROP_CACHE = ""
_C.MODEL.ROI_RELATION_HEAD.REQUIRE_BOX_OVERLAP = True
_C.MODEL.ROI_RELATION_HEAD.NUM_SAMPLE_PER_GT_REL = 4
_C.MODEL.ROI_RELATION_HEAD.ADD_GTBOX_TO_PROPOSAL_IN_TRAIN = False
# Share of each VG-150 predicate among the training relations, in the order of the dictionary.
# fmt: off
_C.MODEL.ROI_RELATION_HEAD.REL_PROP = [
    0.01858, 0.00057, 0.00051, 0.00109, 0.00150, 0.00489, 0.00432, 0.02913, 0.00245, 0.00121,
    0.00404, 0.00110, 0.00132, 0.00172, 0.00005, 0.00242, 0.00050, 0.00048, 0.00208, 0.15608,
    0.02650, 0.06091, 0.00900, 0.00183, 0.00225, 0.00090, 0.00028, 0.00077, 0.04844, 0.08645,
    0.31621, 0.00088, 0.00301, 0.00042, 0.00186, 0.00100, 0.00027, 0.01012, 0.00010, 0.01286,
    0.00647, 0.00084, 0.01077, 0.00132, 0.00069, 0.00376, 0.00214, 0.11424, 0.01205, 0.02958,
]
# fmt: on

_C.MODEL.ROI_RELATION_HEAD.TRANSFORMER = CN()
_C.MODEL.ROI_RELATION_HEAD.TRANSFORMER.DROPOUT_RATE = 0.1
_C.MODEL.ROI_RELATION_HEAD.TRANSFORMER.OBJ_LAYER = 4
_C.MODEL.ROI_RELATION_HEAD.TRANSFORMER.REL_LAYER = 2
_C.MODEL.ROI_RELATION_HEAD.TRANSFORMER.NUM_HEAD = 8
_C.MODEL.ROI_RELATION_HEAD.TRANSFORMER.INNER_DIM = 2048
_C.MODEL.ROI_RELATION_HEAD.TRANSFORMER.KEY_DIM = 64
_C.MODEL.ROI_RELATION_HEAD.TRANSFORMER.VAL_DIM = 64

_C.MODEL.ROI_RELATION_HEAD.CAUSAL = CN()
_C.MODEL.ROI_RELATION_HEAD.CAUSAL.EFFECT_ANALYSIS = False
# none, TDE, NIE or TE; sum or gate; motifs, vctree or vtranse.
_C.MODEL.ROI_RELATION_HEAD.CAUSAL.EFFECT_TYPE = "none"
_C.MODEL.ROI_RELATION_HEAD.CAUSAL.FUSION_TYPE = "sum"
_C.MODEL.ROI_RELATION_HEAD.CAUSAL.CONTEXT_LAYER = "motifs"
_C.MODEL.ROI_RELATION_HEAD.CAUSAL.SEPARATE_SPATIAL = False
_C.MODEL.ROI_RELATION_HEAD.CAUSAL.SPATIAL_FOR_VISION = False

# Width of objects and pairs in PE-Net, whose code has this key in a comment and 2048 in its place.
_C.MODEL.ROI_RELATION_HEAD.PENET_MLP_DIM = 2048

# PySGG's names: images of rare predicates are shown more often, and frequent relations in them dropped
# (data/resampling.py, docs/debiasing.md). bilvl, or lvis, which drops nothing.
_C.MODEL.ROI_RELATION_HEAD.DATA_RESAMPLING = False
_C.MODEL.ROI_RELATION_HEAD.DATA_RESAMPLING_METHOD = "bilvl"
_C.MODEL.ROI_RELATION_HEAD.DATA_RESAMPLING_PARAM = CN()
_C.MODEL.ROI_RELATION_HEAD.DATA_RESAMPLING_PARAM.REPEAT_FACTOR = 0.012
_C.MODEL.ROI_RELATION_HEAD.DATA_RESAMPLING_PARAM.INSTANCE_DROP_RATE = 0.4
_C.MODEL.ROI_RELATION_HEAD.DATA_RESAMPLING_PARAM.REPEAT_DICT_DIR = ""
# Added by this project: dropped relations count as background, as in PySGG's PredCls and SGCls; False: not at all.
_C.MODEL.ROI_RELATION_HEAD.DATA_RESAMPLING_PARAM.DROPPED_AS_BACKGROUND = False

# Added by this project: wrappers against the bias towards frequent predicates (docs/debiasing.md). 0 is off.
_C.MODEL.ROI_RELATION_HEAD.DEBIASING = CN()
_C.MODEL.ROI_RELATION_HEAD.DEBIASING.LOGIT_ADJUSTMENT_TRAIN = 0.0  # tau; 1.0 as published
_C.MODEL.ROI_RELATION_HEAD.DEBIASING.LOGIT_ADJUSTMENT_TEST = 0.0  # tau; 1.0 as published
_C.MODEL.ROI_RELATION_HEAD.DEBIASING.CLASS_BALANCED = 0.0  # beta, below 1
_C.MODEL.ROI_RELATION_HEAD.DEBIASING.INVERSE_FREQUENCY = 0.0  # power of (median count / count); 1.0 as IETrans
_C.MODEL.ROI_RELATION_HEAD.DEBIASING.GROUP_RATIO = 0.0  # group collaborative learning; 4.0 as published
_C.MODEL.ROI_RELATION_HEAD.DEBIASING.GROUP_LEAST = 200.0  # a group that might end below this count takes all the rest
_C.MODEL.ROI_RELATION_HEAD.DEBIASING.GROUP_KNOWLEDGE = 1.0  # weight of what classifiers learn from each other

add_pysgg_keys(_C.MODEL.ROI_RELATION_HEAD)

_C.SOLVER = CN()
_C.SOLVER.MAX_ITER = 40000
# Per image: the optimizer's rate is this times the images of a batch.
_C.SOLVER.BASE_LR = 0.002
_C.SOLVER.BIAS_LR_FACTOR = 2
_C.SOLVER.MOMENTUM = 0.9
_C.SOLVER.WEIGHT_DECAY = 0.0005
_C.SOLVER.WEIGHT_DECAY_BIAS = 0.0
_C.SOLVER.CLIP_NORM = 5.0
_C.SOLVER.GRAD_NORM_CLIP = 5.0
_C.SOLVER.GAMMA = 0.1
_C.SOLVER.STEPS = (30000,)
_C.SOLVER.WARMUP_FACTOR = 1.0 / 3
_C.SOLVER.WARMUP_ITERS = 500
_C.SOLVER.WARMUP_METHOD = "linear"
_C.SOLVER.SCHEDULE = CN()
_C.SOLVER.SCHEDULE.TYPE = "WarmupMultiStepLR"
_C.SOLVER.SCHEDULE.PATIENCE = 2
_C.SOLVER.SCHEDULE.THRESHOLD = 1e-4
_C.SOLVER.SCHEDULE.COOLDOWN = 1
_C.SOLVER.SCHEDULE.FACTOR = 0.5
_C.SOLVER.SCHEDULE.MAX_DECAY_STEP = 7
_C.SOLVER.CHECKPOINT_PERIOD = 2500
_C.SOLVER.PRINT_GRAD_FREQ = 5000
_C.SOLVER.PRE_VAL = True
_C.SOLVER.TO_VAL = True
_C.SOLVER.VAL_PERIOD = 2500
_C.SOLVER.UPDATE_SCHEDULE_DURING_LOAD = False
_C.SOLVER.IMS_PER_BATCH = 16

_C.TEST = CN()
_C.TEST.EXPECTED_RESULTS = []
_C.TEST.EXPECTED_RESULTS_SIGMA_TOL = 4
_C.TEST.IMS_PER_BATCH = 8
_C.TEST.DETECTIONS_PER_IMG = 100
_C.TEST.SAVE_PROPOSALS = False
_C.TEST.ALLOW_LOAD_FROM_CACHE = True
_C.TEST.CUSTUM_EVAL = False
_C.TEST.CUSTUM_PATH = "."
_C.TEST.BBOX_AUG = CN()
_C.TEST.BBOX_AUG.ENABLED = False
_C.TEST.BBOX_AUG.H_FLIP = False
_C.TEST.BBOX_AUG.SCALES = ()
_C.TEST.BBOX_AUG.MAX_SIZE = 4000
_C.TEST.BBOX_AUG.SCALE_H_FLIP = False
_C.TEST.RELATION = CN()
_C.TEST.RELATION.MULTIPLE_PREDS = False
_C.TEST.RELATION.IOU_THRESHOLD = 0.5
_C.TEST.RELATION.REQUIRE_OVERLAP = True
_C.TEST.RELATION.LATER_NMS_PREDICTION_THRES = 0.3
_C.TEST.RELATION.SYNC_GATHER = False
# Added by this project: so many of an image's best triplets SGDet finds exactly, leaving out the pairs of objects that
# cannot be among them; 0: every pair is scored.
_C.TEST.RELATION.FIRST_TRIPLETS = 100
# Added by this project: json of [subject class, object class, predicate] or SGB's .pytorch file of the same;
# empty: the triplets of the evaluated split that training never shows.
_C.TEST.RELATION.ZERO_SHOT_TRIPLETS = ""
# Added by this project: how is counted, by the name of a card: sgb, visualds, vrd, penet; docs/evaluation.md.
_C.TEST.RELATION.PROTOCOL = "sgb"
# Added by this project: single fields beside the card, None for what it has.
_C.TEST.RELATION.CONSTRAINT = None
_C.TEST.RELATION.GROUND_TRUTH = None
_C.TEST.RELATION.AVERAGE = None
_C.TEST.RELATION.MATCHING = None
_C.TEST.RELATION.UNPREDICTED = None
_C.TEST.RELATION.RELATION_NMS = None
_C.TEST.RELATION.INCLUSIVE_BOXES = None
_C.TEST.RELATION.TOP_K = None
# Added by this project: predicates that training does not show, or "ovsgtr" alone; recalls of base and novel ones.
_C.TEST.RELATION.NOVEL_PREDICATES = ()

_C.OUTPUT_DIR = "."
_C.DETECTED_SGG_DIR = "."
_C.GLOVE_DIR = "."
# The module with the catalogs of data sets and published weights; see paths_catalog.load_catalog.
_C.PATHS_CATALOG = str(Path(__file__).with_name("paths_catalog.py"))
# float32, float16 or bfloat16.
_C.DTYPE = "float32"
_C.AMP_VERBOSE = False
# Added by this project: of several processes, seconds after which one that the others wait for is taken to hang.
_C.PROCESS_TIMEOUT = 1800.0

# Groups of SGB for what this project leaves out. Files that hold them load, for without their switches (which
# load.check_left_out refuses) they have no effect.
for _key in ("MODEL.ROI_MASK_HEAD", "MODEL.ROI_KEYPOINT_HEAD", "MODEL.RETINANET", "MODEL.FBNET", "PATHS_DATA"):
    _C.register_deprecated_key(_key)
