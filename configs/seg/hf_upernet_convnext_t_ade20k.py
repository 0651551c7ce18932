_base_ = "./upernet_convnext_t_ade20k.py"

# None published. transformers' UperNet instead of mmseg's, trained as it.
model = dict(
    _delete_=True,
    type="TransformersSegmentor",
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=_base_.model.backbone,
    head=dict(type="upernet", num_classes=150),
    test_cfg=_base_.model.test_cfg,
)
