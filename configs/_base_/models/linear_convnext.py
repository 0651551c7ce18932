_base_ = "mmseg::_base_/models/fcn_r50-d8.py"

custom_imports = dict(imports=["convnext_dense"], allow_failed_imports=False)

model = dict(
    data_preprocessor=dict(size=(512, 512)),
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type="ConvNeXt",
        arch="tiny",
        out_indices=(3,),
        frozen_stages=4,
        # The norm that the weights' own features pass at the end.
        init_cfg=dict(type="Pretrained", final_norm="use"),
    ),
    decode_head=dict(
        _delete_=True,
        type="LinearHead",
        in_channels=768,
        in_index=0,
        num_classes=150,
        norm_cfg=dict(type="SyncBN"),
        dropout_ratio=0.1,
        loss_decode=dict(type="CrossEntropyLoss"),
    ),
    auxiliary_head=None,
    test_cfg=dict(mode="slide", crop_size=(512, 512), stride=(341, 341)),
)
