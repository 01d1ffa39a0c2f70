"""Steps that build on one another, and how their folder is resumed and kept apart from other runs."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demo.pipeline import Step, claimed, run_steps
from maskrcnn_benchmark.utils.errors import InputError

ROOT = Path(__file__).parents[2]


def make_step(folder, name, code, needs=()):
    """A step that runs Python code, in which {result} stands for its result."""
    result = folder / f"{name}.out"
    return Step(name, (sys.executable, "-c", code.format(result=result)), result, folder / f"{name}.log", needs)


def run(folder, steps, workers=2):
    with claimed(folder, {}) as inherited:
        run_steps(steps, inherited, workers)


def append(text):
    return f"open(r'{{result}}', 'a').write('{text}')"


def test_steps_that_are_done_are_not_done_again(tmp_path, capfd):
    step = make_step(tmp_path, "one", append("x"))
    run(tmp_path, [step])
    run(tmp_path, [step])
    assert step.result.read_text() == "x"
    assert "done already" in capfd.readouterr().out


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_a_step_starts_once_those_that_it_needs_are_done(tmp_path, workers):
    first = make_step(tmp_path, "first", "import time; time.sleep(0.7); " + append("1"))
    reads = f"open(r'{{result}}', 'w').write(open(r'{first.result}').read() + '2')"
    second, beside = make_step(tmp_path, "second", reads, ("first",)), make_step(tmp_path, "beside", append("3"))
    run(tmp_path, [second, first, beside], workers)
    assert (second.result.read_text(), beside.result.read_text()) == ("12", "3")


def test_no_more_steps_run_at_once_than_there_are_workers(tmp_path):
    code = (
        f"import os, time; folder = r'{tmp_path}'; path = os.path.join(folder, str(os.getpid()) + '.now'); "
        "open(path, 'w').close(); time.sleep(0.4); "
        "n = sum(name.endswith('.now') for name in os.listdir(folder)); os.remove(path); "
        "open(r'{result}', 'w').write(str(n))"
    )
    steps = [make_step(tmp_path, f"step{i}", code) for i in range(5)]
    run(tmp_path, steps)
    assert {int(step.result.read_text()) for step in steps} <= {1, 2}


def test_a_step_that_fails_shows_its_last_lines_and_ends_those_beside_it(tmp_path, capfd):
    bad = make_step(tmp_path, "bad", "print('what went wrong'); raise SystemExit(3)")
    slow = make_step(tmp_path, "slow", "import time; time.sleep(60); " + append("x"))
    with pytest.raises(InputError, match=r"bad failed \(exit status 3\)"):
        run(tmp_path, [slow, bad])
    assert "what went wrong" in capfd.readouterr().err
    assert not slow.result.exists()
    with claimed(tmp_path, {}):  # nothing is left that would hold the folder
        pass


def test_a_step_that_leaves_no_result_has_failed(tmp_path):
    with pytest.raises(InputError, match=r"silent failed \(exit status 0\)"):
        run(tmp_path, [make_step(tmp_path, "silent", "pass")])


def test_steps_that_can_never_start_are_named(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        run(tmp_path, [make_step(tmp_path, "one", append("x"), ("nowhere",))])
    circle = [make_step(tmp_path, "a", append("x"), ("b",)), make_step(tmp_path, "b", append("x"), ("a",))]
    with pytest.raises(InputError, match="wait for each other: a, b"):
        run(tmp_path, circle)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a step goes on, and keeps the folder")
def test_steps_end_with_a_run_that_is_killed(tmp_path):
    step = make_step(tmp_path, "slow", "import time; print('runs', flush=True); time.sleep(60); " + append("x"))
    program = (
        "from pathlib import Path; from demo.pipeline import Step, claimed, run_steps\n"
        f"step = Step('slow', {step.command!r}, Path({str(step.result)!r}), Path({str(step.log)!r}))\n"
        f"with claimed(Path({str(tmp_path)!r}), {{}}) as inherited:\n    run_steps([step], inherited)\n"
    )
    run_of_demo = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL, cwd=ROOT)
    while not (step.log.exists() and "runs" in step.log.read_text()):
        assert run_of_demo.poll() is None
        time.sleep(0.05)
    run_of_demo.kill()
    run_of_demo.wait()
    for _ in range(100):
        try:
            with claimed(tmp_path, {}):  # the step held it, too
                return
        except InputError:
            time.sleep(0.05)
    pytest.fail("the step still runs")


def test_a_folder_is_for_one_run_and_one_seed(tmp_path):
    with (
        claimed(tmp_path, {"seed": 0}),
        pytest.raises(InputError, match="is in use by process"),
        claimed(tmp_path, {"seed": 0}),
    ):
        pass
    with pytest.raises(InputError, match="'seed': 0"), claimed(tmp_path, {"seed": 1}):
        pass
    with claimed(tmp_path, {"seed": 0}):
        pass


def test_a_step_that_outlives_its_run_keeps_the_folder(tmp_path):
    with claimed(tmp_path, {}) as inherited:
        kept = os.dup(inherited)  # what a step that was left behind holds open
    with pytest.raises(InputError, match="or by a program that it started"), claimed(tmp_path, {}):
        pass
    os.close(kept)
    with claimed(tmp_path, {}):
        pass
