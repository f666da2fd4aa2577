"""Workloads built by a fixed seed, run by Segmentry and by peers written by hand, with the same answers: `python -m benchmarks`."""
