"""The table of published weights, against timm's own registry."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from convnext_dense.backbone import ARCHS, resolve_arch
from convnext_dense.checkpoints.origin import licence_of
from convnext_dense.zoo.results import PUBLISHED, published_model
from convnext_dense.zoo.weights import WEIGHTS, published_weights


@pytest.fixture(scope="module")
def known(timm):
    """Every address of timm's registry, and the name of its model."""
    names = timm.list_pretrained("convnext*")
    return {timm.get_pretrained_cfg(name).url: name for name in names}


@pytest.mark.parametrize("name", WEIGHTS)
def test_every_address_is_one_that_timm_knows_and_of_that_arch(name, known):
    for arch, url in WEIGHTS[name].items():
        if arch.startswith("iso_"):
            continue  # timm has none
        # timm lists the averaged weights, the recipes begin from the plain ones.
        either = [url, re.sub(r"_1k_224\.pth$", "_1k_224_ema.pth", url)]
        model = next((known[one] for one in either if one in known), None)
        assert model, url
        size = arch.removeprefix("v2_")
        assert model.startswith(f"convnext{'v2' * arch.startswith('v2_')}_{size}.")


def test_the_addresses_of_isotropic_weights():
    for size in ("small", "base", "large"):
        file = f"convnext_iso_{size}_1k_224_ema.pth"
        address = f"https://dl.fbaipublicfiles.com/convnext/{file}"
        assert published_weights(f"iso_{size}", "imagenet1k") == address


def test_a_name_or_an_arch():
    assert published_weights("tiny", "imagenet1k").endswith("/convnext_tiny_1k_224.pth")
    assert published_weights(ARCHS["xlarge"], "imagenet22k").endswith(
        "/convnext_xlarge_22k_224.pth"
    )


def test_what_does_not_exist_is_refused_with_what_does():
    with pytest.raises(ValueError, match=r"'imagenet22k' for arch 'atto': it has imagenet1k, and"):
        published_weights("atto", "imagenet22k")
    with pytest.raises(ValueError, match="'imagenet1k' for arch 'xlarge': it has imagenet22k, and"):
        published_weights("xlarge", "imagenet1k")
    with pytest.raises(ValueError, match="no published file fits this arch"):
        published_weights(resolve_arch(dict(depths=(1,), channels=(8,))), "imagenet1k")
    with pytest.raises(
        ValueError, match="no weights 'in1k', choose one of imagenet1k, imagenet22k"
    ):
        published_weights("tiny", "in1k")


def test_the_model_of_a_recipe():
    for row in PUBLISHED:
        if row.checkpoint:
            assert published_model(f"configs/{row.config}.py") == row.checkpoint
    with pytest.raises(ValueError, match=r"no published model for mine\.py, only for mask_rcnn_"):
        published_model("configs/det/mine.py")


@pytest.mark.parametrize("name", WEIGHTS)
def test_the_report_names_their_licences(name):
    for arch, url in WEIGHTS[name].items():
        found = SimpleNamespace(arch=ARCHS[arch], prefix="")
        licence = licence_of(url, found)
        if arch.startswith("v2_"):
            assert licence.startswith("CC BY-NC 4.0")
        elif arch in ("atto", "femto", "pico", "nano"):
            assert licence == "Apache-2.0 (timm)"
        else:
            assert licence == "MIT (facebookresearch/ConvNeXt)"
            assert licence_of(url.rpartition("/")[2], found) == licence


def test_the_report_does_not_guess_a_licence():
    found = SimpleNamespace(arch=ARCHS["tiny"], prefix="")
    assert licence_of("epoch_12.pth", found).startswith("not known by the name")
