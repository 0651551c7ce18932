# ResNet-50 as mmdet's detectors have it. The weights are those of torchvision://resnet50, by a name
# that does not take torchvision.
resnet50 = dict(
    type="ResNet",
    depth=50,
    frozen_stages=1,
    init_cfg=dict(
        type="Pretrained", checkpoint="https://download.pytorch.org/models/resnet50-0676ba61.pth"
    ),
)
