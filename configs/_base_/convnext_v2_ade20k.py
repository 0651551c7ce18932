# What ConvNeXt V2's authors change for ADE20K (arXiv 2301.00808, appendix A.4). They searched rates
# of 1e-4 to 3e-4, decays of 0.8 to 0.9 and drop paths of 0.1 to 0.4 and do not say which they took:
# these are the middle. Nor do they say whether the pictures are flipped as well.
v2_drop_path = 0.25
v2_optimizer = dict(lr=2e-4)
v2_decay = dict(decay_rate=0.85, decay_type="layer_wise")
v2_scales = [
    dict(type="Resize", scale_factor=ratio, keep_ratio=True)
    for ratio in (0.75, 0.875, 1.0, 1.125, 1.25)
]
