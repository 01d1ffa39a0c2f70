import json
import os

from yacs.config import CfgNode

# SGB's defaults as they were recorded; the test puts the file here.
with open(os.path.join(os.path.dirname(__file__), "sgb_config_defaults.json")) as file:
    _C = CfgNode(json.load(file))
