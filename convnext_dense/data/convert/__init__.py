"""Convert data of other formats into what the recipes train on: COCO files, or label maps."""
