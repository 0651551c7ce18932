"""Command lines that make no sense: every flag of every tool with values of the wrong kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from ground import Ground
from harness import Case, run
from judges import refused, refused_or_done

from convnext_dense.text import printable

TITLE = "command lines"
RIGHT = (
    "The tool ends in one line that names the flag, the key or the value, with exit status 1 or 2; "
    "where the value can be meant, it may do its work instead."
)
SAMPLE = 6  # cases in make test

LONG = "x" * 5000
# Values that cannot be meant, by the kind of flag.
NO_COUNT = ("", " ", "-1", "0", "nan", "inf", "1.5", "many", "99999999999")
NO_RATE = ("", "-1", "nan", "inf", "-inf", "1e400", "many")
NO_TEXT = ("", " ")
NO_CHOICE = ("", "many", "-1")
NO_FILE = ("", "no/such.file", "{folder}", "{binary}", "-", LONG, "two\nlines", "bad\udcffbyte")
NO_FOLDER = ("", "no/such", "{binary}", LONG, "two\nlines")
NO_OUTPUT = ("", "{binary}/below", LONG)

CONFIGS = {
    "syntax.py": "model = dict(\n",
    "raises.py": "model = dict(a=1 / 0)\n",
    "exits.py": "raise SystemExit(3)\n",
    "none.py": "model = None\n",
    "number.py": "model = 5\n",
    "no_type.py": "model = dict(a=1)\n",
    "no_class.py": "model = dict(type='NoSuchModel')\n",
    "no_base.py": "_base_ = 'gone.py'\n",
    "of_itself.py": "_base_ = 'of_itself.py'\n",
    "base_number.py": "_base_ = 5\n",
    "package.py": "_base_ = 'mmnone::a.py'\n",
    "imports.py": "custom_imports = dict(imports=['no_such_module'])\nmodel = dict(type='A')\n",
    "empty.py": "",
    "list.json": "[1]",
    "cut.json": '{"model": ',
    "cut.yaml": "a: b: c",
    "words.txt": "model",
}
# Keys of a segmenter's config and values that they cannot have.
OPTIONS = (
    *(
        "modle.backbone.arch=atto",
        "model.backbone.arhc=atto",
        "max_iter=5",
        "a..b=1",
        "=5",
        "model",
    ),
    *("model.backbone.arch=", "model.backbone.arch=huge", "model=5", "model.decode_head=None"),
    *("train_pipeline.99.type=A", "train_pipeline.0=A", "model.type=NoSuchModel"),
    *("train_cfg.max_iters=0", "train_cfg.max_iters=-1", "train_cfg.max_iters=nan"),
    *("train_cfg.max_iters=many", "train_cfg.val_interval=0", "train_cfg.max_iters=inf"),
    *("optim_wrapper.optimizer.lr=0", "optim_wrapper.optimizer.lr=-1"),
    *("optim_wrapper.optimizer.lr=nan", "optim_wrapper.optimizer.lr=inf"),
    *("optim_wrapper.optimizer.lr=fast", "optim_wrapper.accumulative_counts=0"),
    *("optim_wrapper.optimizer.weight_decay=-1", "optim_wrapper.optimizer.type=NoSuch"),
    *("param_scheduler.1.power=nan", "param_scheduler.0.begin=-1", "param_scheduler.0.type=NoSuch"),
    *("train_dataloader.batch_size=0", "train_dataloader.batch_size=99999999999"),
    *("train_dataloader.num_workers=-1", "train_dataloader.num_workers=99999999999"),
    *("val_dataloader.num_workers=99999999999", "val_dataloader.persistent_workers=True"),
    *("train_dataloader.prefetch_factor=2", "train_dataloader.sampler.type=NoSuch"),
    *("default_hooks.checkpoint.interval=0", "default_hooks.checkpoint.max_keep_ckpts=0"),
    *("default_hooks.logger.interval=0", "default_hooks.logger.type=NoSuch"),
    *("model.data_preprocessor.std=0,0,0", "model.data_preprocessor.mean=nan,0,0"),
    *("model.backbone.out_indices=(0,1", "model.backbone.out_indices=9", "randomness.seed=-1"),
    *("train_dataloader.dataset.type=NoSuch", "train_dataloader.dataset.data_root=no/such"),
    *("train_dataloader=None", "optim_wrapper=None", "train_cfg=None", "val_evaluator=None"),
    *("default_hooks.checkpoint.save_best=NoSuch", "log_level=LOUD"),
    *("load_from=no/such.pth", "resume=many", "default_scope=mmnone"),
)


def cases(ground: Ground, seed: int) -> list[Case]:
    """List all command lines."""
    listed = []
    for lines, may_do in ((_senseless(ground), False), (_doubtful(ground), True)):
        for tool, argv, named in lines:
            attack = _attack(tool, argv, named, may_do)
            listed.append(Case(f"command_lines/{tool}-{len(listed):03}", attack))
    return listed


def _given(flag: str, value: str) -> list[str]:
    # A flag's value may begin with a dash only in this form; a single-letter flag has none.
    if flag.startswith("--"):
        return [f"{flag}={value}"]
    return [flag, value] if flag else [value]


def _attack(
    tool: str, argv: list[str], named: tuple[str, ...], may_do: bool
) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        (folder / "folder.py").mkdir()
        binary = folder / "binary.py"
        binary.write_bytes(bytes(range(256)))
        for name, content in CONFIGS.items():
            (folder / name).write_text(content)
        places = {"{folder}": str(folder / "folder.py"), "{binary}": str(binary)}

        def placed(text: str) -> str:
            for place, path in places.items():
                text = text.replace(place, path)
            return text

        outcome = run(tool, [placed(text) for text in argv], folder)
        names = [form for name in named if name.strip() for form in _shown(placed(name))]
        (refused_or_done if may_do else refused)(outcome, *names)

    return attack


def _shown(name: str) -> tuple[str, ...]:
    """Return the forms in which an error may show a name."""
    return name, printable(name), " ".join(name.split())


# A tool, its arguments, and what its error may name.
Line = tuple[str, list[str], tuple[str, ...]]


def _senseless(ground: Ground) -> Iterator[Line]:
    """Yield lines that must be refused."""
    seg, checkpoint = str(ground.configs["seg"]), str(ground.last["seg"])
    trained = str(ground.runs["seg"] / "tiny_seg.py")
    photos = str(ground.seg_data / "images" / "validation")
    truth = str(ground.seg_data / "annotations" / "validation")
    coco = str(ground.det_data / "annotations" / "instances_val.json")
    train = ground.train_argv("seg")
    test = ground.argv("seg", ground.last["seg"], "--work-dir", "t")
    infer = [trained, checkpoint, photos, "-o", "found"]
    check = ["check", *ground.argv("seg")]
    show = ["show", *ground.argv("seg"), "-o", "samples.png"]
    backbone = [
        "backbone",
        "--arch",
        "atto",
        "--shape",
        "32",
        "32",
        "--rounds",
        "1",
        "--min-time",
        "0",
        "--peers",
        "none",
    ]
    models = ["infer", seg, "--shape", "64", "64", "--rounds", "1"]
    flags = (
        # tool, arguments, flag, values
        ("train", train, "--batch-size", NO_COUNT),
        ("train", train, "--accumulate", NO_COUNT),
        ("train", train, "--img-size", NO_COUNT),
        ("train", train, "--seed", ("", "-1", "nan", "many", "99999999999")),
        ("train", train, "--amp", NO_CHOICE),
        ("train", train, "--launcher", NO_CHOICE),
        ("train", train, "--recipe", NO_CHOICE),
        ("train", train, "--backbone", ("", "huge", "-1", "no/such")),
        ("train", train, "--classes", ("", ",", "a,a", "a,,b")),
        ("train", train, "--weights", NO_FILE),
        ("train", train, "--resume", ("no/such.pth", "{folder}", "{binary}", LONG)),
        ("train", train, "--data-root", NO_FOLDER),
        ("train", train, "--ann-train", NO_FOLDER),
        ("train", train, "--ann-val", NO_FOLDER),
        ("train", train, "--work-dir", NO_OUTPUT),
        ("train", train, "--force-key", NO_TEXT),
        ("test", test, "--out", ("", "{binary}", LONG)),
        ("test", test, "--show-dir", NO_OUTPUT),
        ("test", test, "--work-dir", NO_OUTPUT),
        ("test", test, "--img-size", NO_COUNT),
        ("test", test, "--ann-val", NO_FOLDER),
        ("infer", infer, "--batch", NO_COUNT),
        ("infer", infer, "--score", (*NO_RATE, "1", "1.5")),
        ("infer", infer, "--device", ("", "cuda:99", "gpu", "-1")),
        ("infer", infer, "--save", ("", "many", ",")),
        ("infer", infer, "-o", NO_OUTPUT),
        ("infer", infer[:2], "", NO_FILE),
        ("evaluate", ["ade20k", truth], "", NO_FOLDER),
        ("evaluate", ["ade20k", truth, truth], "--classes", ("", ",", "a,a")),
        ("evaluate", ["ade20k", truth, truth, "--classes", "a,b,c,d"], "-o", NO_OUTPUT),
        ("evaluate", ["coco", coco], "", NO_FILE),
        ("evaluate", ["coco", coco, coco], "--backend", NO_CHOICE),
        ("evaluate", ["coco", coco, coco], "--type", NO_CHOICE),
        ("data", check, "--workers", ("", "-1", "nan", "1.5", "many", "99999999999")),
        ("data", check, "--max-examples", ("", "-1", "nan", "many")),
        ("data", check, "--json", NO_OUTPUT),
        ("data", show, "-n", NO_COUNT),
        ("data", show, "--seed", ("", "-1", "nan", "many", "99999999999")),
        ("data", show, "--split", NO_CHOICE),
        ("data", show, "--batch-size", NO_COUNT),
        ("report", [str(ground.runs["seg"])], "-o", NO_OUTPUT),
        ("report", [str(ground.runs["seg"])], "--pictures-from", ("", "0", "-1", "nan", "many")),
        ("report", [str(ground.runs["seg"])], "--device", ("", "cuda:99", "gpu")),
        ("report", [], "", NO_FOLDER),
        ("weights", ["inspect"], "", NO_FILE),
        ("weights", ["convert", checkpoint], "", ("", "out.txt", "{binary}/out.pth", LONG)),
        ("weights", ["convert", checkpoint, "out.pth"], "--to", NO_CHOICE),
        ("weights", ["inspect", checkpoint], "--prefix", ("", "no.such")),
        ("weights", ["verify"], "", NO_FILE),
        ("swap_backbone", [seg, "--arch", "atto"], "-o", NO_OUTPUT),
        ("swap_backbone", [seg, "--diff"], "--arch", ("", "huge", "-1")),
        ("swap_backbone", [seg, "--arch", "atto", "--diff"], "--mode", NO_CHOICE),
        (
            "swap_backbone",
            [seg, "--arch", "atto", "--diff"],
            "--backbone-options",
            ("arch=tiny", "recipe=keep", "cfg=1", "no_such=1", "drop_path_rate", "drop_path_rate="),
        ),
        ("flops", [seg], "--shape", ("", "0", "-1", "nan", "many")),
        ("benchmark", backbone, "--batch", NO_COUNT),
        ("benchmark", backbone, "--threads", (*NO_COUNT, "100000")),
        ("benchmark", backbone, "--rounds", NO_COUNT),
        ("benchmark", backbone, "--arch", ("", "huge")),
        ("benchmark", backbone, "--dtype", NO_CHOICE),
        ("benchmark", backbone, "--min-time", NO_RATE),
        ("benchmark", backbone, "--drop-path", (*NO_RATE, "1")),
        ("benchmark", backbone, "--json", NO_OUTPUT),
        ("benchmark", models, "--batch", NO_COUNT),
        ("benchmark", models, "--device", ("", "cuda:99", "gpu")),
        ("make_shapes", ["shapes"], "--train", NO_COUNT),
        ("make_shapes", ["shapes"], "--size", NO_COUNT),
        ("make_shapes", ["shapes"], "--seed", ("", "-1", "nan", "many")),
        ("make_shapes", [], "", NO_OUTPUT),
        ("model_zoo", [], "", ("extra",)),
    )
    for tool, argv, flag, values in flags:
        for value in values:
            # A message of the package names the argument in the place of the flag.
            yield (
                tool,
                [*argv, *_given(flag, value)],
                (flag, flag.lstrip("-"), value, value.partition("=")[0]),
            )
    for option in OPTIONS:
        key, _, value = option.partition("=")
        # Where mmengine builds the run, the config is named with what it says.
        built = "tiny_seg.py: the run cannot be built"
        named = (key, key.rpartition(".")[2], value, "KEY=VALUE", built)
        yield "train", [*train, "--cfg-options", option], named
    others = (("test", test), ("infer", infer), ("data", check), ("flops", [seg]))
    for tool, argv in (*others, ("benchmark", models)):
        for option in (OPTIONS[0], "randomness.seed=-1", "test_dataloader.num_workers=99999999999"):
            yield tool, [*argv, "--cfg-options", option], (option.partition("=")[0],)
    names = [*CONFIGS, "no/such.py", "folder.py", "binary.py", "mmdet::no/such.py", "mmnone::a.py"]
    after = dict(train=["--work-dir", "w"], infer=[checkpoint, photos], flops=[])
    for tool, rest in after.items():
        for name in names:
            yield tool, [name, *rest], (name, name.partition("::")[2], "mmnone", "NoSuchModel")


def _doubtful(ground: Ground) -> Iterator[Line]:
    """Yield lines that may be meant."""
    train, test = ground.train_argv("seg"), ground.argv("seg", ground.last["seg"])
    for value in ("-", "two\nlines", "bad\udcffbyte", "~", "."):
        for tool, argv in (("train", train), ("test", test)):
            yield tool, [*argv, *_given("--work-dir", value)], ("--work-dir", value)
