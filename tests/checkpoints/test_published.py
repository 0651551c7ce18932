"""The table of published weights, against timm's own registry."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from convnext_dense.backbone import ARCHS, resolve_arch
from convnext_dense.checkpoints.origin import licence_of, normalisation_of
from convnext_dense.zoo.licences import find_licence
from convnext_dense.zoo.weights import WEIGHTS, find_weights

PAGE = Path(__file__).parents[2] / "docs" / "weights.md"
BEGIN = "<!-- written by tests/checkpoints/test_published.py -->"
END = "<!-- end of published weights -->"
FILES = [(name, arch, file) for name, files in WEIGHTS.items() for arch, file in files.items()]
UNKNOWN_TO_TIMM = ("_iso_", "pytorch.org", "_1k_384.pth")
# As timm's registry has them. It calls Meta's V1 its own.
TIMMS_LICENCES = {
    "Apache-2.0 (timm)": "apache-2.0",
    "MIT (facebookresearch/ConvNeXt)": "apache-2.0",
    "CC BY-NC 4.0 (facebookresearch/ConvNeXt-V2)": "cc-by-nc-4.0",
    "DINOv3 License": "dinov3-license",
    "FAIR Noncommercial Research License": "fair-noncommercial-research-license",
}


@pytest.fixture(scope="module")
def known(timm):
    """timm's registry, by every address and hub id."""
    configs = map(timm.get_pretrained_cfg, timm.list_pretrained("convnext*"))
    return {key: cfg for cfg in configs for key in (cfg.url, cfg.hf_hub_id) if key}


@pytest.mark.parametrize("name", WEIGHTS)
def test_every_file_is_one_that_timm_knows_and_as_timm_knows_it(name, known):
    for arch, file in WEIGHTS[name].items():
        if any(part in file.source for part in UNKNOWN_TO_TIMM):
            continue
        # timm lists the averaged weights, the recipes begin from the plain ones.
        either = [file.source, re.sub(r"_1k_224\.pth$", "_1k_224_ema.pth", file.source)]
        theirs = next((known[one] for one in either if one in known), None)
        assert theirs, file.source
        size = arch.removeprefix("v2_")
        family = f"convnext{'v2' * arch.startswith('v2_')}_{size}"
        assert theirs.architecture.removesuffix("_mlp") == family
        assert theirs.license == TIMMS_LICENCES[file.licence.name]
        assert theirs.input_size[-1] == file.size
        for ours, timms in zip(file.normalisation, (theirs.mean, theirs.std), strict=True):
            assert ours == pytest.approx([255 * one for one in timms], abs=1e-3)


@pytest.mark.parametrize("name", WEIGHTS)
def test_the_name_of_a_file_tells_what_the_table_says(name):
    for arch, file in WEIGHTS[name].items():
        assert normalisation_of(file.source) == file.normalisation
        assert licence_of(file.source, ARCHS[arch].grn) == str(file.licence)
        is_tested = "ImageNet-1K" in file.data.split(", ") or file.remark == "zero-shot"
        assert (file.top1 is not None) == is_tested


def test_the_addresses_of_isotropic_weights():
    for size in ("small", "base", "large"):
        file = f"convnext_iso_{size}_1k_224_ema.pth"
        address = f"https://dl.fbaipublicfiles.com/convnext/{file}"
        assert find_weights(f"iso_{size}", "imagenet1k").source == address


def test_a_name_or_an_arch():
    assert find_weights("tiny", "imagenet1k").source.endswith("/convnext_tiny_1k_224.pth")
    assert find_weights(ARCHS["xlarge"], "imagenet22k").source.endswith(
        "/convnext_xlarge_22k_224.pth"
    )


def test_what_does_not_exist_is_refused_with_what_does():
    with pytest.raises(ValueError, match=r"'imagenet22k' for arch 'atto': it has imagenet1k, and"):
        find_weights("atto", "imagenet22k")
    with pytest.raises(
        ValueError, match=r"'imagenet1k' for arch 'xlarge': it has imagenet22k, .*, and"
    ):
        find_weights("xlarge", "imagenet1k")
    with pytest.raises(ValueError, match="no published file fits this arch"):
        find_weights(resolve_arch(dict(depths=(1,), channels=(8,))), "imagenet1k")
    with pytest.raises(
        ValueError, match="no weights 'in1k', choose one of imagenet1k, imagenet22k"
    ):
        find_weights("tiny", "in1k")


def test_licences_that_forbid_commercial_use_say_so():
    forbidding = {name for name, _, file in FILES if not file.licence.commercial}
    assert {"eupe", "fcmae", "imagenet22k_ft_1k_512"} <= forbidding
    for _, arch, file in FILES:
        is_free = not (arch.startswith("v2_") or "eupe" in file.source)
        assert file.licence.commercial == is_free
        assert is_free != str(file.licence).endswith(", which forbids commercial use")
        assert file.licence.url.startswith("https://")


def test_a_downloaded_file_tells_its_licence_still():
    for file in (WEIGHTS["imagenet1k"]["tiny"], WEIGHTS["fcmae"]["v2_atto"]):
        name = file.source.rpartition("/")[2]
        assert find_licence(name) == file.licence


def test_the_nearest_names_come_first():
    with pytest.raises(ValueError, match="no weights 'dino', choose one of dinov3, imagenet1k"):
        find_weights("tiny", "dino")
    with pytest.raises(ValueError, match=r"'eupe' for arch 'large': it has imagenet1k, .*, dinov3"):
        find_weights("large", "eupe")


def rows_of_the_page():
    """The files, those that differ in arch and top-1 alone in one row."""
    rows = {}
    for name, arch, file in FILES:
        figure = "" if file.top1 is None else f" {file.top1}"
        if file.top1 is not None and file.tested != file.size:
            figure += f" at {file.tested}"
        key = (name, file.data, file.size, file.remark, file.licence)
        rows.setdefault(key, []).append(f"[{arch}]({file.url}){figure}")
    for (name, data, size, remark, licence), files in rows.items():
        note = f" (top-1 {remark})" if remark else ""
        yield [f"`{name}`", ", ".join(files) + note, data, str(size), f"[{licence}]({licence.url})"]


def test_the_page_lists_them():
    titles = ["name", "arch, top-1", "trained on", "px", "licence"]
    lines = [f"| {' | '.join(cells)} |" for cells in (titles, *rows_of_the_page())]
    lines.insert(1, "|---" * len(titles) + "|")
    table = "\n".join([BEGIN, *lines, END])
    page = PAGE.read_text()
    start, end = page.index(BEGIN), page.index(END) + len(END)
    if os.environ.get("WRITE_DOCS"):
        PAGE.write_text(page[:start] + table + page[end:])
    assert PAGE.read_text()[start : start + len(table)] == table, (
        "run: WRITE_DOCS=1 python -m pytest tests/checkpoints/test_published.py"
    )


def test_the_report_does_not_guess_a_licence():
    assert licence_of("epoch_12.pth", is_v2=False).startswith("not known by the name")
