"""The configuration node `MODEL.ROI_RELATION_HEAD.RELCLIP`; docs/method.md explains each choice."""

from yacs.config import CfgNode

KEY = "MODEL.ROI_RELATION_HEAD.RELCLIP"  # what error messages call the node


def relclip_node() -> CfgNode:
    """The node with its default values."""
    node = CfgNode()

    # Which representation of pairs RelCLIP stands on: motifs | vctree | transformer | vtranse | none.
    node.CONTEXT = "motifs"

    # Phrases that images are aligned with: sp (subject, predicate), po (predicate, object), spo (whole triplet).
    # A level that is not named here gives neither alignment logits nor a contrastive loss.
    node.LEVELS = ("sp", "po")
    # Add the alignment with the phrases to the logits of the predicates.
    node.USE_ALIGNMENT = True
    # Train with the relational contrastive loss (RCL).
    node.USE_RCL = True
    # The ordinary classifier of the context. Without it only its background logit stays, and predicates are scored by
    # their phrases alone.
    node.USE_BASE = True
    # gamma: weight of the alignment in the logits.
    node.ALIGNMENT_WEIGHT = 1.0
    # Weight of the RCL in the sum of losses.
    node.RCL_WEIGHT = 1.0
    # tau: both use it. It is learnt as SCALE_INIT * exp(x), never more than SCALE_MAX.
    node.SCALE_INIT = 1 / 0.07
    node.SCALE_MAX = 100.0
    # tau learns at this multiple of the rate of the other parameters (1.0: the same). See docs/method.md.
    node.SCALE_LR_FACTOR = 0.1
    # Width of the hidden layer between a pair's representation and the embedding space of the text.
    node.PROJECTION_DIM = 512

    # The frequency bias (SGB's key PREDICT_USE_BIAS switches it): phrases (of the two levels: how often the predicate
    # occurs with the subject, and with the object) | triplets (SGB's table of all three).
    node.BIAS = "phrases"
    # phrases only: classes whose phrases are alike share their counts; the cosine distance at which one class counts
    # 1/e as much for another as for itself. 0: they share nothing.
    node.BIAS_WIDTH = 0.2
    # phrases only: in training, the bias of a pair of classes leaves out what was counted of this very pair.
    node.BIAS_LEAVE_OUT = True

    # In training, the share of objects that go by the name of another class. Classes must be given (PredCls); 0: none.
    node.SUBSTITUTION_RATE = 0.2
    # It is drawn among all classes, one at a cosine distance of SUBSTITUTION_WIDTH 1/e as often as one at no distance.
    node.SUBSTITUTION_WIDTH = 0.2

    # In evaluation, weight of what CLIP's image tower says of the part of the image that shows a pair; 0: it is not
    # asked. It is the image tower of TEXT_ENCODER, which then has to be there (no BANK_FILE).
    node.IMAGE_WEIGHT = 0.0
    # It looks at so many pairs of an image, those with the highest scores.
    node.IMAGE_PAIRS = 256
    # How a pair's box becomes a square: pad (proportions are kept) | stretch; and what is added on each side, as a
    # share of the box's width and height.
    node.IMAGE_FIT = "pad"
    node.IMAGE_MARGIN = 0.1

    # Phrases from which negatives come: train (those that occur in the training set) | full (every combination).
    node.DICTIONARY = "train"
    # Which of them: related (all components but one are those of the positive) | all | batch (positives of the batch).
    node.NEGATIVES = "related"
    # A phrase is a synonym of another where their cosine similarity reaches the threshold, a predicate of another where
    # their phrases do on average. Synonyms are no negatives. tools/list_synonyms.py prints what a threshold finds.
    node.KEEP_SYNONYMS = False
    node.PHRASE_SYNONYM_THRESHOLD = 0.92
    node.PREDICATE_SYNONYM_THRESHOLD = 0.92

    # Predicates to score in evaluation instead of the data set's, by name; they need not occur in training.
    # Needs USE_BASE False and PREDICT_USE_BIAS False.
    node.TEST_PREDICATES = ()

    # Take the mean off the embeddings of each level, then normalise again.
    node.CENTER = False
    # A file with the embeddings of all phrases (docs/method.md describes it); with it no text encoder is needed.
    node.BANK_FILE = ""
    # Where embeddings are kept once they are made.
    node.CACHE_DIR = "~/.cache/relclip"
    node.TEXT_ENCODER = CfgNode()
    # clip (OpenAI's package) | open_clip
    node.TEXT_ENCODER.LIBRARY = "clip"
    # A name that the library knows; for clip also the path of a state dict or a TorchScript archive.
    node.TEXT_ENCODER.NAME = "ViT-B/32"
    # open_clip only: the tag of the weights, or the path of a file.
    node.TEXT_ENCODER.PRETRAINED = ""
    # Prompts of each level; "a {subject}" becomes "an {subject}" where the name asks for it.
    node.TEMPLATES = CfgNode()
    node.TEMPLATES.SP = (
        "a photo of a {subject} {predicate} something",
        "a picture of a {subject} {predicate} something",
        "a {subject} {predicate} something",
    )
    node.TEMPLATES.PO = (
        "a photo of something {predicate} a {object}",
        "a picture of something {predicate} a {object}",
        "something {predicate} a {object}",
    )
    node.TEMPLATES.SPO = ("a photo of a {subject} {predicate} a {object}",)

    # Iterations between two lines in the log with losses, accuracy and tau; 0: none.
    node.LOG_PERIOD = 200
    return node


def add_relclip_config(cfg: CfgNode) -> None:
    """Add the node to a configuration, if it is not there yet; before files are merged into it."""
    head = cfg.MODEL.ROI_RELATION_HEAD
    if "RELCLIP" in head:
        return
    frozen = cfg.is_frozen()
    cfg.defrost()
    head.RELCLIP = relclip_node()
    if frozen:
        cfg.freeze()
