"""Benchmark evaluation on top of mmdet's and mmseg's metrics."""
