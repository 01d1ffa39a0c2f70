"""Scene graph generation: the parts of Scene-Graph-Benchmark.pytorch that it needs, rewritten for PyTorch 2."""
