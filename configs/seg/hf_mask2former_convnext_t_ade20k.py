_base_ = "./mask2former_convnext_t_ade20k.py"

# None published. transformers' Mask2Former instead of mmdet's, trained as it.
model = dict(
    _delete_=True,
    type="TransformersSegmentor",
    data_preprocessor=_base_.data_preprocessor,
    backbone=_base_.model.backbone,
    head=dict(type="mask2former", num_classes=150),
    test_cfg=dict(mode="whole"),
)
embeddings = dict(lr_mult=1.0, decay_mult=0.0)
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys=dict(queries_embedder=embeddings, queries_features=embeddings),
    ),
)
