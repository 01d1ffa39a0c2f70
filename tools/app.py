#!/usr/bin/env python3
"""Look at scene graphs of one's own images in the browser.

    python tools/app.py output/relclip-sgdet --images photos

serves an app at http://127.0.0.1:7860, for this computer alone; --host 0.0.0.0 lets others in. It needs gradio
(pip install 'relclip-sgb[app]'). docs/own_data.md
"""

import argparse
import logging

from maskrcnn_benchmark.app import load_app
from maskrcnn_benchmark.utils.cli import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="RUN", help="folder of a training, or a checkpoint")
    parser.add_argument("--images", metavar="DIR", help="images to pick from")
    parser.add_argument("--device", help="such as cpu or cuda; a GPU where there is one")
    parser.add_argument("--host", default="127.0.0.1", help="address to serve at (default: this computer alone)")
    parser.add_argument("--port", type=int, default=7860, help="port to serve at; 0: any that is free")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    app = load_app(args.model, args.images, args.device)
    app.launch(server_name=args.host, server_port=args.port or None, share=False)


if __name__ == "__main__":
    run(main)
