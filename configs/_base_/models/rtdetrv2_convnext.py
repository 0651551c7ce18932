custom_imports = dict(imports=["convnext_dense"], allow_failed_imports=False)

model = dict(
    type="TransformersDetector",
    data_preprocessor=dict(
        type="DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
        batch_augments=[
            # 480 to 800, one size for each batch.
            dict(type="BatchSyncRandomResize", random_size_range=(480, 800), interval=1),
        ],
    ),
    backbone=dict(type="ConvNeXt", arch="tiny", out_indices=(1, 2, 3)),
    head=dict(type="rt_detr_v2", num_queries=300, num_classes=80),
)
