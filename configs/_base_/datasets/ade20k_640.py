_base_ = "mmseg::_base_/datasets/ade20k_640x640.py"

train_dataloader = dict(batch_size=2)
