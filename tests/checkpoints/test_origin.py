"""What the name and the content of weights tell of the images that they expect."""

from __future__ import annotations

import pytest

from convnext_dense.checkpoints.origin import (
    CLIP,
    IMAGENET,
    identifying_name,
    licence_of,
    normalisation_of,
)


@pytest.mark.parametrize(
    "name",
    [
        "timm/convnext_base.clip_laion2b_augreg_ft_in12k_in1k",
        "timm/convnext_large_mlp.clip_laion2b_soup_ft_in12k_in1k_320",
        "hf-hub:laion/CLIP-convnext_base_w-laion2B-s13B-b82K",
        "weights/convnext_base_w_laion2b.pth",
        "convnext_base_w_laion_aesthetic_s13b_b82k.pth",
        "convnext_base.clip_laiona_augreg_ft_in1k_384.safetensors",
        "open_clip_pytorch_model.bin",
        "/data/openclip-convnext.pt",
        "CLIP.pth",
        "https://host/files/convnext_clip.pth?download=1",
        "https://huggingface.co/laion/CLIP-convnext_large_d-laion2B/resolve/main/model.safetensors",
        "/home/u/.cache/hub/models--timm--convnext_base.clip_laion2b/snapshots/1a/model.safetensors",
    ],
)
def test_names_of_clips_weights(name):
    assert normalisation_of(name) == CLIP


@pytest.mark.parametrize(
    "name",
    [
        "/home/eclipse/x.pth",
        "clippy.pth",
        "clip/convnext_tiny.pth",
        "/data/CLIP/laion/x.safetensors",
        "paperclip_convnext.pth",
        "convnext_tiny_clipped.pth",
        "convnext_tiny_grad_clip_5.pth",
        "convnext_clip_grad.pth",
        "https://host/clip/convnext_tiny_1k_224.pth",
        "https://clip.host/convnext_tiny_1k_224.pth?by=clip",
        "timm/convnext_tiny.fb_in22k",
        "facebook/convnextv2-tiny-1k-224",
        "millions_laionel.pth",
        "",
    ],
)
def test_names_of_others(name):
    assert normalisation_of(name) == IMAGENET


@pytest.mark.parametrize(
    ("parameter", "wanted"),
    [
        ("visual.trunk.stem.0.weight", CLIP),
        ("module.visual.trunk.stem.0.weight", CLIP),
        ("logit_scale", CLIP),
        ("backbone.visualizer.weight", IMAGENET),
        ("audiovisual.stem.weight", IMAGENET),
    ],
)
def test_content(parameter, wanted):
    assert normalisation_of("x.pth", ["stages.0.gamma", parameter]) == wanted


@pytest.mark.slow
def test_every_convnext_of_timm(timm):
    wanted = {(0.485, 0.456, 0.406): IMAGENET, (0.48145466, 0.4578275, 0.40821073): CLIP}
    names = timm.list_pretrained("convnext*")
    assert len(names) > 50
    for name in names:
        mean = timm.get_pretrained_cfg(name).mean
        if mean in wanted:  # those of 0.5 are other networks, which are refused
            assert normalisation_of(f"timm/{name}") == wanted[mean], name


def test_a_folder_says_nothing_of_the_licence(timm):
    from convnext_dense import ConvNeXt
    from convnext_dense.checkpoints.find_convnext import find_convnext

    found = find_convnext(ConvNeXt("atto").state_dict(), "x")
    assert identifying_name("/home/dinov3/x.pth") == "x.pth"
    assert licence_of("/home/dinov3/x.pth", found).startswith("not known")
