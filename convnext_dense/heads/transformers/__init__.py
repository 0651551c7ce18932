"""Detectors and segmenters of transformers over our backbones, for mmdet and mmseg.

Everything here needs the extra ``hf``. Importing this package imports no transformers.
"""
