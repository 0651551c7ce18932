"""The operators of ``mmcv._ext``, written with torch, with the same names and arguments."""

from convnext_dense.upstream.ops import (
    deform_conv,
    modulated_deform_conv,
    ms_deform_attn,
    nms,
    roi_align,
    roi_pool,
    sigmoid_focal_loss,
    softnms,
)

# All operators that `mmcv._ext` has here; any other raises an error when it is called.
OPERATORS = {
    operator.__name__: operator
    for operator in (
        deform_conv.deform_conv_forward,
        deform_conv.deform_conv_backward_input,
        deform_conv.deform_conv_backward_parameters,
        modulated_deform_conv.modulated_deform_conv_forward,
        modulated_deform_conv.modulated_deform_conv_backward,
        ms_deform_attn.ms_deform_attn_forward,
        ms_deform_attn.ms_deform_attn_backward,
        nms.nms,
        nms.nms_match,
        roi_align.roi_align_forward,
        roi_align.roi_align_backward,
        roi_pool.roi_pool_forward,
        roi_pool.roi_pool_backward,
        sigmoid_focal_loss.sigmoid_focal_loss_forward,
        sigmoid_focal_loss.sigmoid_focal_loss_backward,
        softnms.softnms,
    )
}
