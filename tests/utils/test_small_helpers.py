"""Registry, meters, timer, arrays, labels, imports of user files."""

import json
import sys
import types

import numpy as np
import pytest
import torch
import yaml

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.utils import env
from maskrcnn_benchmark.utils.collect_env import collect_env_info
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.imports import import_file
from maskrcnn_benchmark.utils.metric_logger import MetricLogger, SmoothedValue
from maskrcnn_benchmark.utils.miscellaneous import (
    bbox_overlaps,
    mkdir,
    save_config,
    save_labels,
)
from maskrcnn_benchmark.utils.registry import Registry
from maskrcnn_benchmark.utils.timer import Timer, get_time_str


def test_registry_takes_calls_and_decorators():
    registry = Registry({"known": 1})
    registry.register("called", 2)

    @registry.register("decorated")
    def function():
        return 3

    assert (registry["known"], registry["called"], registry["decorated"]()) == (1, 2, 3)
    with pytest.raises(ValueError, match="called is registered already"):
        registry.register("called", 4)


def test_smoothed_value():
    value = SmoothedValue(window_size=3)
    for x in (10.0, 1.0, 2.0, 6.0):
        value.update(x)
    assert (value.median, value.avg, value.global_avg) == (2.0, 3.0, 4.75)


def test_metric_logger_prints_median_and_mean():
    meters = MetricLogger(delimiter="  ")
    meters.update(loss=torch.tensor(1.0), time=2)
    meters.update(loss=3.0, time=4)
    assert str(meters) == "loss: 1.0000 (2.0000)  time: 2.0000 (3.0000)"
    assert meters.loss.global_avg == 2.0
    with pytest.raises(AttributeError, match="no meter 'none'"):
        _ = meters.none


def test_timer_averages_its_calls():
    timer = Timer()
    for seconds in (1.0, 3.0):
        timer.add(seconds)
    assert (timer.average_time, timer.total_time, timer.diff) == (2.0, 4.0, 3.0)
    assert timer.avg_time_str() == get_time_str(2.0) == "0:00:02"
    timer.tic()
    assert timer.toc(average=False) >= 0
    timer.reset()
    assert timer.average_time == 0.0


def test_overlaps_of_lists_and_tensors():
    expected = [[1.0, 0.5], [0.0, 0.0]]
    first, second = [[0, 0, 9, 9], [50, 50, 59, 59]], [[0, 0, 9, 9], [0, 0, 9, 4]]
    assert bbox_overlaps(first, second).tolist() == expected
    assert bbox_overlaps(torch.tensor(first), np.array(second)).tolist() == expected


def test_labels_and_configuration_are_written(tmp_path):
    mkdir(str(tmp_path / "new"))
    mkdir(str(tmp_path / "new"))
    save_labels([types.SimpleNamespace(ind_to_classes=["__background__", "cat"])], str(tmp_path / "new"))
    assert json.loads((tmp_path / "new" / "labels.json").read_text()) == {"0": "__background__", "1": "cat"}
    save_config(cfg, str(tmp_path / "config.yml"))
    assert yaml.safe_load((tmp_path / "config.yml").read_text())["SOLVER"]["MAX_ITER"] == cfg.SOLVER.MAX_ITER


def test_import_file(tmp_path, monkeypatch):
    path = tmp_path / "plugin.py"
    path.write_text("value = 3\n")
    module = import_file("plugin_of_the_test", str(path))
    assert module.value == 3
    assert "plugin_of_the_test" not in sys.modules
    monkeypatch.setitem(sys.modules, "plugin_of_the_test", None)
    importable = import_file("plugin_of_the_test", str(path), make_importable=True)
    assert sys.modules["plugin_of_the_test"] is importable
    assert import_file("plugin_of_the_test", str(path)) is importable
    with pytest.raises(InputError, match=r"none.py' is no Python file"):
        import_file("none", str(tmp_path / "none.py"))


def test_the_environment_names_a_file_to_run(tmp_path, monkeypatch):
    path = tmp_path / "plugin.py"
    path.write_text("import os\ndef setup_environment():\n    os.environ['PLUGIN_RAN'] = '1'\n")
    monkeypatch.setenv("PLUGIN_RAN", "0")
    monkeypatch.setenv(env.VARIABLE, str(path))
    env.setup_environment()
    assert env.os.environ["PLUGIN_RAN"] == "1"
    path.write_text("")
    with pytest.raises(InputError, match=r"must define a function setup_environment\(\)"):
        env.setup_environment()


def test_environment_of_a_bug_report_names_the_versions():
    text = collect_env_info()
    assert torch.__version__ in text
    assert "Pillow" in text
