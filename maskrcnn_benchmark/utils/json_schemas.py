"""The schema of every json file that the project reads; `json_files.py` holds files against them.

They are msgspec's types: it checks at the speed of C (annotation files have millions of entries), takes no text for a
number and no truth value for either, needs no other package, and says where in the file something is wrong. pydantic
checks as much, but builds an object for every entry. Keys that a schema does not name are passed over.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta

# -- numbers and texts -------------------------------------------------------------------------------------------------
_LARGEST = 2**53  # the largest whole number that every reader of json has exactly
_NAME = (  # no control characters, no halves of letters, no marks that are invisible or turn the line around
    r"\A(?=[\s\S]*\S)[^\x00-\x1f\x7f-\x9f\xad\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]+\Z"
)
_FILE_NAME = r"\A[^\x00-\x1f\x7f]+\Z"
WORDS = {
    _NAME: "a name, which is not empty and has no line ends, control characters or invisible marks",
    _FILE_NAME: "the name of a file, which is not empty and has no line ends or control characters",
}

Name = Annotated[str, Meta(pattern=_NAME, max_length=1000)]  # of a class, a predicate
FileName = Annotated[str, Meta(pattern=_FILE_NAME, max_length=4096)]
Place = Annotated[int, Meta(ge=0, le=_LARGEST)]  # in a list
Whole = Annotated[int, Meta(ge=-_LARGEST, le=_LARGEST)]
Id = Whole | FileName
Real = Annotated[float, Meta(ge=-1e30, le=1e30)]  # no infinity, no nan
Count = Annotated[float, Meta(ge=0, le=1e30)]
Pixel = Annotated[float, Meta(ge=-1e6, le=1e6)]  # a corner of a box
Side = Annotated[float, Meta(ge=1, le=1e6)]  # width or height of an image in pixels
Box = tuple[Pixel, Pixel, Pixel, Pixel]
_Width = Annotated[int, Meta(ge=1, le=100_000)]  # of a layer


# -- Visual Genome's format --------------------------------------------------------------------------------------------
_Numbers = dict[Name, Place]


class Dictionary(TypedDict):
    label_to_idx: _Numbers
    predicate_to_idx: _Numbers
    attribute_to_idx: NotRequired[_Numbers]
    idx_to_label: NotRequired[dict[str, Name]]
    idx_to_predicate: NotRequired[dict[str, Name]]
    idx_to_attribute: NotRequired[dict[str, Name]]


class _UnsizedImage(TypedDict):
    image_id: Whole | Annotated[str, Meta(pattern=r"\A[^/\\\x00-\x1f\x7f]+\Z", max_length=255)]


class _ListedImage(_UnsizedImage):
    width: Side
    height: Side


WORDS[r"\A[^/\\\x00-\x1f\x7f]+\Z"] = "the name of a file without folder and .jpg"
ImageList = list[_ListedImage]
UnsizedImageList = list[_UnsizedImage]
Files = list[FileName]
ZeroShotRow = tuple[Place | Name, Place | Name, Place | Name]
ZeroShotRows = list[ZeroShotRow]


class _ZeroShotKinds(TypedDict):
    seen_pair: ZeroShotRows
    new_pair: ZeroShotRows


ZeroShot = ZeroShotRows | _ZeroShotKinds


# -- scene graphs ------------------------------------------------------------------------------------------------------
class _Object(TypedDict):
    name: Name
    box: Box
    score: NotRequired[Real]


class _Relation(TypedDict):
    subject: Place
    predicate: Name
    object: Place
    score: NotRequired[Real]


class Graph(TypedDict):
    objects: list[_Object]
    relations: NotRequired[list[_Relation]]
    width: NotRequired[Side]
    height: NotRequired[Side]


class ImageLine(TypedDict):
    """What a line of predictions of any program has to have."""

    image: FileName


_Digits = Annotated[str, Meta(pattern=r"\A[0-9]+\Z", max_length=20)]
WORDS[r"\A[0-9]+\Z"] = "a number"


class CustomInfo(TypedDict):
    """SGB's custom_data_info.json; names by number."""

    idx_to_files: list[FileName] | dict[str, FileName]
    ind_to_classes: list[Name] | dict[_Digits, Name]
    ind_to_predicates: list[Name] | dict[_Digits, Name]


class GraphLine(TypedDict):
    image: FileName
    error: NotRequired[str]
    objects: NotRequired[list[_Object]]
    relations: NotRequired[list[_Relation]]
    width: NotRequired[Side]
    height: NotRequired[Side]


ByName = dict[FileName, dict[str, Any]]  # entries by the name of their image; each has a schema of its own


# -- annotation formats of others --------------------------------------------------------------------------------------
class _CocoImage(TypedDict):
    id: Id
    file_name: FileName
    width: NotRequired[Side | None]
    height: NotRequired[Side | None]


class _Named(TypedDict):
    id: Id
    name: Name


class _CocoAnnotation(TypedDict):
    id: Id
    image_id: Id
    category_id: Id
    bbox: Box
    iscrowd: NotRequired[bool | Whole | None]


class _CocoRelation(TypedDict):
    subject_id: Id
    object_id: Id
    category_id: Id
    image_id: NotRequired[Id]


class _SggRelation(TypedDict):
    subject_id: Id
    object_id: Id
    predicate_id: Id
    image_id: NotRequired[Id]


class Coco(TypedDict):
    images: list[_CocoImage]
    categories: list[Name | _Named]
    annotations: list[_CocoAnnotation]
    relations: NotRequired[list[_CocoRelation]]
    relation_categories: NotRequired[list[Name | _Named]]
    rel_annotations: NotRequired[list[_SggRelation]]
    rel_categories: NotRequired[list[Name | _Named]]


class CocoNames(TypedDict):
    images: list[_CocoImage]
    categories: list[_Named]


class _CocoResult(TypedDict):
    image_id: Id
    category_id: Whole
    bbox: Box
    score: NotRequired[Real]


Boxes = list[_CocoResult] | ByName  # results of COCO, or boxes or graphs by the name of their image


class BoxesEntry(TypedDict):
    boxes: list[Box]
    labels: NotRequired[list[Name | Place] | None]
    scores: NotRequired[list[Real] | None]


class RelTr(TypedDict):
    """The lists of names; {image id: rows} of each split stand beside them, `RelTrSplit`."""

    rel_categories: list[Name]


RelTrSplit = dict[str, list[tuple[Place, Place, Place]]]


class _PsgAnnotation(TypedDict):
    bbox: Box
    category_id: Place
    bbox_mode: NotRequired[Literal[0, 1]]


class _PsgSegment(TypedDict):
    iscrowd: NotRequired[bool | Whole | None]


class PsgImage(TypedDict):
    image_id: Id
    file_name: FileName
    width: Side
    height: Side
    annotations: list[_PsgAnnotation]
    relations: list[tuple[Place, Place, Place]]
    segments_info: NotRequired[list[_PsgSegment]]


class Psg(TypedDict):
    thing_classes: list[Name]
    stuff_classes: list[Name]
    predicate_classes: list[Name]
    data: list[PsgImage]
    test_image_ids: NotRequired[list[Id]]


class _VrdEnd(TypedDict):
    category: Place
    bbox: Box


class _VrdTriplet(TypedDict):
    predicate: Place
    subject: _VrdEnd
    object: _VrdEnd


Vrd = dict[FileName, list[_VrdTriplet]]
VrdNames = Annotated[list[Name], Meta(min_length=1)]


class OpenImagesRow(TypedDict):
    ImageID: Annotated[str, Meta(pattern=r"\A[^/\\\x00-\x1f\x7f]+\Z", max_length=255)]
    RelationshipLabel: Name
    LabelName1: FileName
    LabelName2: FileName


OpenImagesName = tuple[FileName, Name]  # code and name of a class; further columns are passed over


class Release(TypedDict):
    categories: list[Name | _Named]
    rel_categories: list[Name | _Named]


# -- distant supervision -----------------------------------------------------------------------------------------------
_Pair = Annotated[str, Meta(pattern=_NAME, max_length=400)]
KnowledgeBase = dict[_Pair, list[Name | Place] | dict[Name, Count]]
Synonyms = dict[Name, list[Name]]
Caption = str | dict[str, Any]


class _NamedTriplet(TypedDict):
    subject: Annotated[str, Meta(max_length=10_000)]
    predicate: Annotated[str, Meta(max_length=10_000)]
    object: Annotated[str, Meta(max_length=10_000)]


Triplet = tuple[str, str, str] | _NamedTriplet
Triplets = list[Triplet]


# -- what tests and trainings leave ------------------------------------------------------------------------------------
_Metric = Annotated[float, Meta(ge=0, le=1e6)] | None
_Text = Annotated[str, Meta(max_length=1000)]


class _Protocol(TypedDict):
    name: _Text
    k: Annotated[list[Annotated[int, Meta(ge=1, le=10**6)]], Meta(min_length=1, max_length=100)]


class Evaluation(TypedDict):
    task: Literal["predcls", "sgcls", "sgdet"]
    protocol: _Protocol
    metrics: dict[_Text, _Metric]
    recall_by_predicate: dict[_Text, dict[Name, _Metric]]
    test_set: _Text
    zero_shot: _Text | None
    notes: NotRequired[list[str]]
    training_frequency: NotRequired[dict[Name, Count] | None]


HELP = ("nothing", "prior", "second opinion", "both")  # given besides the training, in the order of a report
_HELP = rf"\A({'|'.join(HELP)})\Z"
WORDS[_HELP] = f"{', '.join(HELP[:-1])} or {HELP[-1]}"


Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class Tags(TypedDict, total=False):
    model: Name
    supervision: Name
    seed: Seed
    bias: bool
    text: Name
    help: Annotated[str, Meta(pattern=_HELP)]
    part: Name
    curve: Real


class Adapter(TypedDict):
    """Entries of an adapted image side of CLIP; the tensors are looked at as those of a checkpoint."""

    width: _Width
    hidden: _Width
    adapter: dict[str, Any]
    targets: dict[str, Any]
    shown: dict[str, Any]
    objects: list[Name]
    predicates: list[Name]


class Cost(TypedDict, total=False):
    seconds_per_image: Count | None
    predictor_parameters: Place | None
    parameters: Place | None
    device: _Text


AnyEvaluation = dict[str, Any]  # of a detector or a relation model; one of the latter is an `Evaluation`


class MetricsLine(TypedDict):
    """Values by name stand beside the iteration."""

    iteration: Place


MetricsValues = dict[_Text, Real | None]


class _KeptRelation(TypedDict):
    subject: Place
    predicate: Name
    object: Place
    score: NotRequired[Real]
    matches: NotRequired[list[Place]]


class _KeptGraph(TypedDict):
    boxes: list[Box]
    names: list[Name]
    relations: list[_KeptRelation]


class _GraphSample(TypedDict):
    index: Place
    image: FileName
    width: Side
    height: Side
    ground_truth: _KeptGraph
    prediction: _KeptGraph


GraphSamples = list[_GraphSample]
Settings = dict[str, Any]
TestSettings = Annotated[dict[FileName, list[Any]], Meta(min_length=1)]  # options by the name of their setting


class _Download(TypedDict):
    to: FileName
    source: NotRequired[str]
    bytes: NotRequired[Place]
    sha256: NotRequired[str]
    files: NotRequired[Place]


Downloads = dict[FileName, _Download]


class PartNote(TypedDict):
    url: str
    validator: str | None


class Calibration(TypedDict):
    slope: Real
    offset: Real
    width: Annotated[float, Meta(gt=0, le=1e6)]
    unseen: list[Name]


class SeenMetrics(TypedDict):
    metrics: dict[_Text, _Metric]
