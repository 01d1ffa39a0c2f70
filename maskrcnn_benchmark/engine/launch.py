"""What the command-line tools share: arguments, processes and log."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator

import torch
import torch.distributed as dist

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.doctor.inputs import check_start
from maskrcnn_benchmark.utils.collect_env import collect_env_info
from maskrcnn_benchmark.utils.comm import get_rank, get_world_size
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.logger import setup_logger
from maskrcnn_benchmark.utils.miscellaneous import mkdir, save_config


def tool_parser(description: str) -> argparse.ArgumentParser:
    """SGB's arguments of every tool, and `--seed`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--config-file", required=True, metavar="FILE", help="path to config file")
    parser.add_argument(
        "--local_rank", "--local-rank", type=int, default=0, help="taken as SGB does; torchrun's LOCAL_RANK counts"
    )
    parser.add_argument("--seed", type=int, default=0, help="of all random choices; a resumed run keeps its own")
    parser.add_argument(
        "opts", default=[], nargs=argparse.REMAINDER, help="configuration keys and values: KEY VALUE KEY VALUE ..."
    )
    return parser


@contextlib.contextmanager
def launched(args: argparse.Namespace, save: bool) -> Iterator[tuple]:
    """Read the configuration, join the other processes, and open the log.

    Args:
        save: write log and configuration to OUTPUT_DIR (training does).

    Yields:
        (cfg, distributed, logger). Under torchrun each process gets its own GPU, or shares the CPU.
    """
    cfg = load_config(args.config_file, args.opts)
    if save and not cfg.OUTPUT_DIR:
        raise InputError("OUTPUT_DIR is empty; training needs a folder for its checkpoints and log")
    on_gpu = torch.device(cfg.MODEL.DEVICE).type == "cuda"
    if on_gpu and not torch.cuda.is_available():
        raise InputError(f"MODEL.DEVICE is {cfg.MODEL.DEVICE}, but PyTorch finds no GPU: set it to cpu")
    if cfg.DTYPE == "float16" and not on_gpu:
        raise InputError("DTYPE is float16, which recurrent layers lack on the CPU: set it to bfloat16 or float32")
    if save:
        check_start(cfg, with_test=not getattr(args, "skip_test", False))
    distributed = int(os.environ.get("WORLD_SIZE", 1)) > 1
    if distributed:
        if on_gpu:
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", args.local_rank)))
        dist.init_process_group(backend="nccl" if on_gpu else "gloo", init_method="env://")
    try:
        if save:
            mkdir(cfg.OUTPUT_DIR)
        logger = setup_logger("maskrcnn_benchmark", cfg.OUTPUT_DIR if save else "", get_rank())
        logger.info("Using %d processes on %s", get_world_size(), cfg.MODEL.DEVICE)
        logger.info(args)
        logger.info("Collecting env info (might take some time)\n%s", collect_env_info())
        with open(args.config_file) as stream:
            logger.info("Loaded configuration file %s\n%s", args.config_file, stream.read())
        logger.info("Running with config:\n%s", cfg)
        if save:
            path = os.path.join(cfg.OUTPUT_DIR, "config.yml")
            logger.info("Saving config into: %s", path)
            save_config(cfg, path)
        yield cfg, distributed, logger
    finally:
        if distributed:
            dist.destroy_process_group()
