"""Communication with one process and with two."""

import os
import subprocess
import sys

import torch

from maskrcnn_benchmark.utils import comm

WORK = """
import sys
import torch
from maskrcnn_benchmark.utils import comm

rank, folder = int(sys.argv[1]), sys.argv[2]
torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
gathered = comm.all_gather({"rank": comm.get_rank(), "values": torch.arange(rank * 3)})
mean = comm.reduce_dict({"b": torch.tensor(1.0 + rank), "a": torch.tensor(10 * rank)})
total = comm.reduce_dict({"a": torch.tensor(1.0 + rank)}, average=False)
comm.synchronize()
torch.save([gathered, mean, total, comm.is_main_process()], f"{folder}/{rank}.pt")
torch.distributed.destroy_process_group()
"""


def test_without_other_processes():
    assert (comm.get_world_size(), comm.get_rank(), comm.is_main_process()) == (1, 0, True)
    comm.synchronize()
    assert comm.all_gather({"a": 1}) == [{"a": 1}]
    losses = {"loss": torch.tensor(2.0)}
    assert comm.reduce_dict(losses) is losses


def test_between_two_processes(tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen([sys.executable, "-c", WORK, str(rank), str(tmp_path)], env=environment) for rank in range(2)
    ]
    assert [process.wait(timeout=120) for process in ranks] == [0, 0]
    for rank in range(2):
        gathered, mean, total, main = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert [g["rank"] for g in gathered] == [0, 1]
        assert [len(g["values"]) for g in gathered] == [0, 3]
        assert {name: value.item() for name, value in mean.items()} == {"a": 5.0, "b": 1.5}
        assert total["a"].item() == 3.0
        assert main == (rank == 0)
