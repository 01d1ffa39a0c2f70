"""The configuration node `MODEL.LANGUAGE`: which CLIP, and which phrases."""

from yacs.config import CfgNode

KEY = "MODEL.LANGUAGE"  # what error messages call the node


def language_node() -> CfgNode:
    """The node with its default values."""
    node = CfgNode()
    # clip (OpenAI's package) | open_clip
    node.LIBRARY = "clip"
    # A name that the library knows; for clip also the path of a state dict or a TorchScript archive.
    node.NAME = "ViT-B/32"
    # open_clip only: the tag of the weights, or the path of a file.
    node.PRETRAINED = ""
    # A file with the embeddings of all phrases (docs/method.md describes it); with it no text encoder is needed.
    node.BANK_FILE = ""
    # Where embeddings are kept once they are made.
    node.CACHE_DIR = "~/.cache/relclip"
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
    return node


def add_node(parent: CfgNode, name: str, node: CfgNode) -> None:
    """Add a node to a configuration, frozen or not, if it is not there yet; before files are merged into it."""
    if name in parent:
        return
    frozen = parent.is_frozen()
    parent.defrost()
    parent[name] = node
    if frozen:
        parent.freeze()


def add_language_config(cfg: CfgNode) -> None:
    """Add MODEL.LANGUAGE."""
    add_node(cfg.MODEL, "LANGUAGE", language_node())
