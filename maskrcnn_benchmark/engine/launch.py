"""What the command-line tools share: arguments, processes and log."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator

import torch

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.doctor.inputs import check_start
from maskrcnn_benchmark.utils.collect_env import collect_env_info
from maskrcnn_benchmark.utils.comm import all_gather, get_rank, get_world_size, is_main_process
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import remove_litter
from maskrcnn_benchmark.utils.folder_lock import owned
from maskrcnn_benchmark.utils.logger import setup_logger

from .run_state import set_aside
from .watch import joined


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


def training_parser(description: str) -> argparse.ArgumentParser:
    """Arguments of the tools that train one model and test it."""
    parser = tool_parser(description)
    parser.add_argument("--skip-test", action="store_true", help="do not test the final model")
    parser.add_argument(
        "--start-anew",
        action="store_true",
        help="train from the beginning, and move the run that OUTPUT_DIR holds to OUTPUT_DIR/earlier_1 (2, ...)",
    )
    return parser


@contextlib.contextmanager
def launched(args: argparse.Namespace, save: bool) -> Iterator[tuple]:
    """Read the configuration, join the other processes, and open the log.

    Args:
        save: own OUTPUT_DIR, clear what a killed run left there, and write the log to it (training does).

    Yields:
        (cfg, distributed, logger). Under torchrun each process gets its own GPU, or shares the CPU.

    Raises:
        InputError: a setting or a file is wrong, another process owns OUTPUT_DIR, or one of the job's is missing.
    """
    cfg = load_config(args.config_file, args.opts)
    if save and not cfg.OUTPUT_DIR:
        raise InputError("OUTPUT_DIR is empty; training needs a folder for its checkpoints and log")
    on_gpu = torch.device(cfg.MODEL.DEVICE).type == "cuda"
    if on_gpu and not torch.cuda.is_available():
        raise InputError(f"MODEL.DEVICE is {cfg.MODEL.DEVICE}, but PyTorch finds no GPU: set it to cpu")
    if cfg.DTYPE == "float16" and not on_gpu:
        raise InputError("DTYPE is float16, which recurrent layers lack on the CPU: set it to bfloat16 or float32")
    start_anew = getattr(args, "start_anew", False)
    if save:
        check_start(cfg, with_test=not getattr(args, "skip_test", False), start_anew=start_anew)
    distributed = int(os.environ.get("WORLD_SIZE", 1)) > 1
    job = contextlib.ExitStack()
    if distributed:
        if on_gpu:
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", args.local_rank)))
        job.enter_context(joined("nccl" if on_gpu else "gloo", cfg.PROCESS_TIMEOUT))
    with job:
        if save:
            _take(job, cfg.OUTPUT_DIR, start_anew)
        logger = setup_logger("maskrcnn_benchmark", cfg.OUTPUT_DIR if save else "", get_rank())
        logger.info("Using %d processes on %s", get_world_size(), cfg.MODEL.DEVICE)
        logger.info(args)
        logger.info("Collecting env info (might take some time)\n%s", collect_env_info())
        with open(args.config_file) as stream:
            logger.info("Loaded configuration file %s\n%s", args.config_file, stream.read())
        logger.info("Running with config:\n%s", cfg)
        yield cfg, distributed, logger


def _take(job: contextlib.ExitStack, folder: str, start_anew: bool) -> None:
    """Own OUTPUT_DIR until the job ends, and clear it; the main process does, and all learn where it cannot."""
    refusal = None
    if is_main_process():
        try:
            job.enter_context(owned(folder, "OUTPUT_DIR"))
            remove_litter(folder)
            if start_anew:
                set_aside(folder)
        except InputError as error:
            refusal = str(error)
    refusal = all_gather(refusal)[0]
    if refusal:
        raise InputError(refusal)
