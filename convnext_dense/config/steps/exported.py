"""Test an exported model on the data of a config, in place of the config's own model."""

from __future__ import annotations

from mmengine.config import Config, ConfigDict

from convnext_dense.config.options import RunOptions
from convnext_dense.config.state import Plan
from convnext_dense.config_tree import datasets, type_name
from convnext_dense.data.check import build_without_annotations
from convnext_dense.data.pipelines import LOADERS
from convnext_dense.text import listed
from convnext_dense.zoo.models import MODELS
from convnext_dense_runtime import Metadata, is_model_file, read_metadata

# The model of such a test, see convnext_dense.evaluation.exported_model.
EXPORTED = "ExportedModel"
# Options that would change the model, and the only process that a test of one can have.
UNFIT = ("backbone", "tta")
_KEPT = (*LOADERS, "LoadAnnotations", "LoadLabelMap")
_SCOPES = {"detection": "mmdet", "segmentation": "mmseg"}
_SHOWN = 3


def refuse_unfit_options(plan: Plan) -> Plan:
    """Refuse options that cannot apply to an exported model, before any work.

    Raises:
        ValueError: If there is one; the message names it.
    """
    options = plan.options
    if not tests_exported(options):
        return plan
    given = [name for name in UNFIT if getattr(options, name)]
    if given:
        raise ValueError(
            f"`{given[0]}` cannot change {options.checkpoint}: an exported model is tested as it is"
        )
    if options.launcher != "none":
        raise ValueError(
            f"`launcher={options.launcher!r}`: an exported model is tested by one process"
        )
    return plan


def tests_exported(options: RunOptions) -> bool:
    """Whether what is tested is an exported model."""
    checkpoint = options.checkpoint
    return checkpoint is not None and checkpoint not in MODELS and is_model_file(checkpoint)


def use_exported_model(plan: Plan) -> Plan:
    """Put an exported model in place of the config's, and let it prepare the pictures.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not ours, is of another task, has other classes than the data,
            or resizes pictures otherwise than ``img_size`` asks for.
        ImportError: If OpenVINO is needed and not installed.
    """
    if not tests_exported(plan.options):
        return plan
    file = str(plan.options.checkpoint)
    facts = read_metadata(file)
    cfg = plan.copy_config()
    name = cfg.filename or "the config"
    scope = cfg.get("default_scope")
    if scope in _SCOPES.values() and scope != _SCOPES[facts.task]:
        raise ValueError(f"{file} is a model of {facts.task}, but {name} is for {scope}")
    notes = _notes_on_model(plan.options)
    for key, dataset in datasets(cfg, "test"):
        _check_classes(cfg, key, dataset, facts, file)
        notes += _notes_on_size(dataset.pipeline, facts, plan.options)
        dataset.pipeline = [
            step
            for step in dataset.pipeline
            if type_name(step) in _KEPT or type_name(step).startswith("Pack")
        ]
    cfg.model = ConfigDict(type=EXPORTED, file=file, in_channels=len(facts.channels))
    cfg.pop("data_preprocessor", None)  # mmengine would give it to the model
    cfg.load_from, cfg.resume = None, False
    return plan.changed(cfg, *dict.fromkeys(notes))


def _notes_on_model(options: RunOptions) -> list[str]:
    keys = [key for key in options.cfg_options if key.split(".")[0] == "model"]
    if not keys:
        return []
    shown = listed(keys, _SHOWN)
    return [f"`cfg_options` of the model ({shown}) do not change an exported model"]


def _check_classes(cfg: Config, key: str, dataset: ConfigDict, facts: Metadata, file: str) -> None:
    classes = tuple(build_without_annotations(cfg, key, dataset).metainfo["classes"])
    if classes == facts.classes:
        return
    if len(classes) != len(facts.classes):
        differ = f"{len(facts.classes)} classes, the data has {len(classes)}"
    else:
        pairs = zip(facts.classes, classes, strict=True)
        one, other = next(pair for pair in pairs if pair[0] != pair[1])
        differ = f"the class {one!r} where the data has {other!r}"
    raise ValueError(f"{file} has {differ}: {key} must have the classes of the export, in order")


def _notes_on_size(pipeline: list[ConfigDict], facts: Metadata, options: RunOptions) -> list[str]:
    """Say where the config's test resizes pictures otherwise than the exported model.

    Raises:
        ValueError: If that is asked for.
    """
    scales = [step.get("scale") for step in pipeline if type_name(step) == "Resize"]
    here = tuple(scales[-1]) if scales and isinstance(scales[-1], tuple | list) else None
    there = facts.resize.scale
    if here == there:
        return []
    words = [f"{scale[0]} x {scale[1]}" if scale else "their own size" for scale in (here, there)]
    if options.img_size:
        raise ValueError(
            f"`img_size={options.img_size}` makes pictures {words[0]}, but "
            f"{options.checkpoint} was exported for {words[1]}: export it again from a config of "
            "that size"
        )
    return [f"pictures become {words[1]} as in the export, not {words[0]} as in the config"]
