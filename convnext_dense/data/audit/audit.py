"""Check each data set of a config once, and compare training with validation."""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass

from mmengine.config import Config, ConfigDict

from convnext_dense.config_tree import SPLITS, datasets, reads_label_maps
from convnext_dense.data.audit.coco import audit_coco, audit_other
from convnext_dense.data.audit.label_maps import audit_label_maps
from convnext_dense.data.audit.pictures import (
    Leaks,
    Picture,
    PictureCheck,
    check_picture,
    image_loader,
    map_in_workers,
    report_pictures,
)
from convnext_dense.data.check import build_without_annotations, check_heads, check_root, is_coco
from convnext_dense.data.check_coco import truth_is_hidden, wants_masks
from convnext_dense.data.pickles import refuse_untrusted_pickles
from convnext_dense.data.pipelines import expected_channels
from convnext_dense.data.rules.findings import LEVELS, Finding, Findings
from convnext_dense.data.split_dataset import SplitDataset

# Fields of a finding that are written to JSON.
_WRITTEN = ("level", "where", "source", "what", "count", "places")


@dataclass(frozen=True)
class Checked:
    """Counts of one data set.

    Attributes:
        where: The splits that read it, such as ``val, test``.
        key: Its dotted key in the config, in the first of these splits.
        source: The annotation file or the folder of label maps.
        images: Number of its images on the disk.
        rows: A dict with counts for each class.
    """

    where: str
    key: str
    source: str
    images: int
    rows: list[dict]


@dataclass(frozen=True)
class Audit:
    """Result of the check of a config's data.

    Attributes:
        checked: Each data set once, in the order of the splits.
        findings: All findings, errors first.
    """

    checked: list[Checked]
    findings: list[Finding]

    def count(self, level: str) -> int:
        """Count the findings of a level."""
        return sum(finding.level == level for finding in self.findings)

    def as_dict(self) -> dict:
        """Return everything, with all places, in types that JSON can hold."""
        findings = [
            {name: getattr(finding, name) for name in _WRITTEN} for finding in self.findings
        ]
        return dict(datasets=[asdict(one) for one in self.checked], findings=findings)


def audit_data(cfg: Config, *, fast: bool = False, workers: int | None = None) -> Audit:
    """Check all data that a config names, and count it.

    COCO files and folders of label maps are checked with their pictures. Of other data sets of
    mmdet, the check covers what their own reader returns. No model is built.

    Args:
        cfg: A config of mmdet or mmseg.
        fast: Whether to read only the headers of pictures. Then pictures that are cut off, labels
            out of range and equal pictures are not found.
        workers: Number of processes that open pictures; None for one per core.

    Returns:
        Counts and findings.

    Raises:
        ValueError: If the config has no data set.
    """
    refuse_untrusted_pickles(cfg)
    groups = _groups(cfg)
    if not groups:
        raise ValueError(f"{cfg.filename or 'the config'} has no data set to check")
    checked: list[Checked] = []
    found: list[Finding] = []
    leaks = Leaks()
    for splits, key, dataset in groups:
        findings = Findings(", ".join(splits))
        source = str(dataset.get("ann_file") or dataset.get("data_prefix", ""))
        rows: list[dict] = []
        pictures: list[Picture] = []
        checks: list[PictureCheck] = []
        with findings.catch_refusals():
            check_root(key, dataset)
            built = build_without_annotations(cfg, key, dataset)
            source = built.ann_file or built.data_prefix.get("seg_map_path") or source
            with findings.catch_refusals():
                check_heads(cfg.model, key, built.metainfo["classes"])
            one = SplitDataset(cfg, splits[0], key, dataset, built)
            rows, pictures, checks = _audit_one(findings, one, fast, workers)
        checked.append(Checked(findings.where, key, source, len(pictures), rows))
        found += findings.found
        leaks.add(splits[0], pictures, checks)
    found += leaks.findings("path" if fast else "content")
    return Audit(checked, sorted(found, key=lambda finding: LEVELS.index(finding.level)))


def _audit_one(
    findings: Findings, dataset: SplitDataset, fast: bool, workers: int | None
) -> tuple[list[dict], list[Picture], list[PictureCheck]]:
    if reads_label_maps(dataset.config):
        return audit_label_maps(findings, dataset, fast, workers)
    audit = audit_coco if is_coco(dataset.config) else audit_other
    rows, pictures = audit(findings, dataset)
    load = image_loader(dataset.config, dataset.cfg.get("default_scope"))
    check = functools.partial(check_picture, load=load, fast=fast)
    paths = [picture.path for picture in pictures]
    checks = list(map_in_workers(check, paths, workers, f"{findings.where}: images"))
    report_pictures(findings, pictures, checks, expected_channels(dataset.cfg, dataset.config))
    return rows, pictures, checks


def _groups(cfg: Config) -> list[tuple[list[str], str, ConfigDict]]:
    """List the data sets, each with all splits that read it in the same way."""
    groups: dict[str, tuple[list[str], str, ConfigDict]] = {}
    for split in SPLITS:
        for key, dataset in datasets(cfg, split):
            alike = {k: v for k, v in dataset.items() if k not in ("pipeline", "test_mode")}
            # Splits may differ in the images that they leave out, and in reading truth and masks.
            read = split == "train", truth_is_hidden(cfg, split), wants_masks(cfg, split)
            splits, *_ = groups.setdefault(repr((alike, read)), ([], key, dataset))
            if split not in splits:
                splits.append(split)
    return list(groups.values())
