"""Which runs are one row, and which must not stand in one table."""

import statistics

import pytest
from run_folders import write_run
from support import HEAD

from maskrcnn_benchmark.data.datasets.evaluation.vg.protocol import PROTOCOLS, Protocol
from maskrcnn_benchmark.report import comparison_tables, read_run
from maskrcnn_benchmark.report.grouping import Statistic, statistic
from maskrcnn_benchmark.report.tables import all_cells, conditions
from maskrcnn_benchmark.utils.errors import InputError


@pytest.fixture
def make(tmp_path):
    """Write a run and read it."""
    return lambda name, **options: read_run(write_run(tmp_path / name, **options))


def rows(table):
    return [(setting.name, setting.supervision, setting.seeds) for setting in table.settings]


def test_seeds_are_one_row_with_mean_and_sample_standard_deviation(make):
    recalls = (0.2, 0.5, 0.3)
    runs = [make(f"run{seed}", recall=r, seed=seed) for seed, r in enumerate(recalls)]
    (table,) = comparison_tables(runs[::-1])
    assert rows(table) == [("Motifs", "full", [0, 1, 2])]
    found = table.metric(table.settings[0], "R", 20)
    assert found == Statistic(statistics.fmean(recalls), statistics.stdev(recalls))
    assert found.text() == "33.3 ± 15.3"


def test_a_single_value_has_no_spread_and_a_missing_one_no_mean():
    assert statistic([0.25]).text() == "25.0"
    assert statistic([0.25, None]) is None and statistic([]) is None
    assert statistic([0.0, 0.0]).text() == "0.0 ± 0.0"


def test_places_and_devices_are_no_settings(make):
    def options(seed):
        return {
            "MODEL.DEVICE": "cpu" if seed else "cuda:1",
            "MODEL.PRETRAINED_DETECTOR_CKPT": f"demo{seed}/detector.pth",
            "DATASETS.DATA_DIR": f"demo{seed}/data",
            "MODEL.LANGUAGE.NAME": f"demo{seed}/clip/small.pt",
            "MODEL.LANGUAGE.CACHE_DIR": f"demo{seed}/phrases",
            "TEST.RELATION.ZERO_SHOT_TRIPLETS": f"demo{seed}/kinds.json",
        }

    (table,) = comparison_tables([make(f"run{s}", seed=s, options=options(s)) for s in (0, 1)])
    assert rows(table) == [("Motifs", "full", [0, 1])]


def test_other_settings_are_other_rows_with_the_difference_in_their_names(make):
    runs = [
        make("a", predictor="RelCLIPPredictor"),
        make("b", predictor="RelCLIPPredictor", options={HEAD + "RELCLIP.USE_RCL": False}),
        make("c", predictor="RelCLIPPredictor", options={HEAD + "RELCLIP.USE_RCL": False}, seed=1),
    ]
    (table,) = comparison_tables(runs)
    assert rows(table) == [
        ("RelCLIP-Motifs (USE_RCL True)", "full", [0]),
        ("RelCLIP-Motifs (USE_RCL False)", "full", [0, 1]),
    ]


def test_ablations_are_named_by_what_most_rows_do_not_have(make):
    without = {
        "no_rcl": {"USE_RCL": False},
        "no_alignment": {"USE_RCL": False, "USE_ALIGNMENT": False},
        "wide": {"SCALE_INIT": 5.0},
        "images": {"RCL_WEIGHT": 1.5},
        "most": {},
    }
    runs = [
        make(name, predictor="RelCLIPPredictor", options={HEAD + "RELCLIP." + key: v for key, v in options.items()})
        for name, options in without.items()
    ]
    (table,) = comparison_tables(runs)
    assert [setting.variant for setting in table.settings] == [
        "USE_RCL False", "USE_ALIGNMENT False, USE_RCL False", "SCALE_INIT 5.0", "RCL_WEIGHT 1.5", ""
    ]  # fmt: skip


def test_many_differences_are_told_by_the_folders(make):
    other = {"SOLVER.BASE_LR": 0.5, "SOLVER.MAX_ITER": 7, "SOLVER.GAMMA": 0.2, "SOLVER.WARMUP_ITERS": 3}
    (table,) = comparison_tables([make("short"), make("long", options=other)])
    assert [setting.name for setting in table.settings] == ["Motifs (short)", "Motifs (long)"]


def test_tags_are_rows_of_their_own_and_full_supervision_comes_first(make):
    runs = [
        make("a", tags={"supervision": "distant"}),
        make("b"),
        make("c", options={HEAD + "PREDICT_USE_BIAS": False}),
        make("d", predictor="VCTreePredictor"),
    ]
    (table,) = comparison_tables(runs)
    assert rows(table) == [
        ("Motifs", "full", [0]), ("Motifs", "full", [0]), ("VCTree", "full", [0]), ("Motifs", "distant", [0])
    ]  # fmt: skip
    assert table.legend(table.settings[:3]) == ["Motifs, bias", "Motifs, no bias", "VCTree"]


def test_tasks_have_tables_of_their_own(make):
    tables = comparison_tables([make("a", task="sgdet", zero_shot="other"), make("b"), make("c", task="sgcls")])
    assert [table.title for table in tables] == ["PredCls", "SGCls", "SGDet"]


DIFFERENT = {
    **{
        f"protocol {field}": (PROTOCOLS["sgb"].with_fields(**{field: value}), f"whose {field} is ")
        for field, value in {
            "constraint": "none",
            "ground_truth": "distinct",
            "average": "relations",
            "matching": "once",
            "unpredicted": "missed",
            "relation_nms": 0.6,
            "iou_threshold": 0.4,
            "inclusive_boxes": False,
            "k": (10,),
        }.items()
    },
    "test_set": ("zzzz", "different images or annotations, with the fingerprints aaaa and zzzz"),
    "zero_shot": ("zzzz", "different zero-shot triplets, with the fingerprints bbbb and zzzz"),
}


@pytest.mark.parametrize("data_per_seed", [False, True])
@pytest.mark.parametrize("key", DIFFERENT)
def test_what_was_measured_otherwise_is_refused(key, data_per_seed, make):
    value, message = DIFFERENT[key]
    if isinstance(value, Protocol):
        key, value = "protocol", value.fields()
    runs = [make("one"), make("two", predictor="VCTreePredictor", **{key: value})]
    with pytest.raises(InputError, match=message) as error:
        comparison_tables(runs, data_per_seed)
    assert "one and " in str(error.value) and str(runs[1].folder) in str(error.value)
    assert "\n" not in str(error.value)


def test_the_name_of_a_test_set_does_not_count(make, tmp_path):
    folder = write_run(tmp_path / "other")
    results = next((folder / "inference").iterdir())
    results.rename(results.with_name("GQA_200_test"))
    (table,) = comparison_tables([make("one", predictor="VCTreePredictor"), read_run(folder)])
    assert table.datasets == ("VG_stanford_filtered_with_attribute_test", "GQA_200_test")


def seeds_with_data(make, missing=()):
    return [
        make(f"{name}{seed}", recall=0.1 * seed, seed=seed, predictor=name, test_set=f"set{seed}", zero_shot=f"z{seed}")
        for name in ("MotifPredictor", "VCTreePredictor")
        for seed in (0, 1, 2)
        if (name, seed) not in missing
    ]


def test_data_of_every_seed_must_be_asked_for(make):
    runs = seeds_with_data(make)
    with pytest.raises(InputError, match="--data-per-seed"):
        comparison_tables(runs)
    (table,) = comparison_tables(runs, data_per_seed=True)
    assert rows(table) == [("Motifs", "full", [0, 1, 2]), ("VCTree", "full", [0, 1, 2])]
    assert table.test_sets == ("set0", "set1", "set2")


def test_with_data_of_every_seed_a_row_that_lacks_one_is_best_in_nothing(make):
    runs = seeds_with_data(make, missing=[("VCTreePredictor", 0)])  # whose recall is the lowest
    (table,) = comparison_tables(runs, data_per_seed=True)
    cells = all_cells(table)[0]
    assert [(row[0], row[4]) for row in cells.rows] == [("Motifs", "3"), ("VCTree", "2")]
    assert not any(map(any, cells.best))
    assert "Rows with fewer seeds are means over fewer test sets" in conditions(table)
    same = [run for run in runs if run.seed > 0]
    assert "fewer" not in conditions(comparison_tables(same, data_per_seed=True)[0])


def test_with_data_of_every_seed_a_run_without_seed_is_refused(make):
    with pytest.raises(InputError, match="has no seed"):
        comparison_tables([make("one", seed=None)], data_per_seed=True)


def test_kinds_of_zero_shot_recall_are_left_out_where_they_differ(make):
    runs = [make("one"), make("two", tags={"supervision": "distant"}, zero_shot_kinds="zzzz")]
    (table,) = comparison_tables(runs)
    assert table.metric(table.settings[0], "zR", 20) is not None
    assert table.metric(table.settings[0], "zR_new_pair", 20) is None
    assert comparison_tables(runs[:1])[0].metric(table.settings[0], "zR_new_pair", 20) is not None


@pytest.mark.parametrize("seed, message", [(4, "with the same seed 4"), (None, "with no seed")])
def test_the_same_seed_twice_gives_no_spread(seed, message, make):
    with pytest.raises(InputError, match=message):
        comparison_tables([make("one", seed=seed), make("two", seed=seed)])


def test_nothing_and_the_same_folder_twice(make):
    with pytest.raises(InputError, match="no run"):
        comparison_tables([])
    run = make("one")
    with pytest.raises(InputError, match="given twice"):
        comparison_tables([run, run])
