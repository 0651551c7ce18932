_base_ = "./adamw.py"

optim_wrapper = dict(paramwise_cfg=dict(decay_rate=0.9, decay_type="stage_wise"))
train_cfg = dict(type="IterBasedTrainLoop", max_iters=160000, val_interval=16000)
# Both begin at 0: the published warm-up multiplies a rate that decays from the first iteration.
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type="PolyLR", eta_min=0.0, power=1.0, by_epoch=False, begin=0, end=160000),
]
