_base_ = "rtdetrv2_convnext_atto_droplets.py"

model = dict(head=dict(type="d_fine"))
