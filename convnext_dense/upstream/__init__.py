"""What the OpenMMLab stack needs to run on today's torch.

One file per upstream fault, each naming the fault and when it can go. Nothing here imports the
rest of the package.
"""


def install() -> None:
    """Put every workaround in place. Called once by ``import convnext_dense``; safe to repeat."""
    from convnext_dense.upstream import (
        config_format,
        cpu_amp,  # noqa: F401
        mmcv_ext,
        package_paths,
        resumed_config,
        safe_checkpoint,
    )

    config_format.install()
    mmcv_ext.install()
    package_paths.install()
    resumed_config.install()
    safe_checkpoint.install()


def install_for_mmdet() -> None:
    """Put in place what needs mmdet, and imports it. For runs of its models; safe to repeat."""
    from convnext_dense.upstream import bitmap_masks, roi_precision

    bitmap_masks.install()
    roi_precision.install()
