#!/usr/bin/env python3
"""Say what is missing or would go wrong before a training, and what mends it.

    python tools/doctor.py                                                     # the machine
    python tools/doctor.py --config-file configs/relclip/motifs_predcls_full.yaml GLOVE_DIR datasets/glove

One table: ok; note (worth knowing); wrong (the training would run, and be silently wrong); fails (it would fail). With
one of the last two, the exit status is 1. Nothing is written. The last lines need the data: counts, how the weights
fit, and what an iteration costs on this machine.
"""

import argparse
import logging

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.doctor.finding import FAILS, NOTE, Finding, table
from maskrcnn_benchmark.doctor.inputs import data_files, other_files
from maskrcnn_benchmark.doctor.machine import machine
from maskrcnn_benchmark.doctor.trial import trial
from maskrcnn_benchmark.utils.cli import run
from maskrcnn_benchmark.utils.download import is_reachable


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--config-file", metavar="FILE", help="configuration of the training; without, the machine alone"
    )
    parser.add_argument("--iterations", type=int, default=3, metavar="N", help="how many to measure; 0: none")
    parser.add_argument(
        "opts", default=[], nargs=argparse.REMAINDER, help="configuration keys and values: KEY VALUE ..."
    )
    return parser.parse_args()


def main() -> int:
    args = parse()
    logging.getLogger("maskrcnn_benchmark").setLevel(logging.ERROR)  # the table says it
    cfg = load_config(args.config_file or "", args.opts)
    findings = list(machine(cfg))
    if args.config_file:
        data = list(data_files(cfg))
        findings += [*data, *other_files(cfg, is_reachable)]
        if any(finding.state == FAILS for finding in data):
            findings.append(Finding("model, cost", NOTE, "not looked at before the data are there"))
        else:
            findings += trial(cfg, args.iterations)
    print(table(findings))
    return 1 if any(finding.is_fault for finding in findings) else 0


if __name__ == "__main__":
    run(main)
