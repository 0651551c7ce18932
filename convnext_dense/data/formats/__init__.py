"""Read data sets in the formats of other tools: YOLO, Pascal VOC, LabelMe, CVAT, COCO, masks."""
