"""Make the page: everything that is known about runs, in one HTML file without other files."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from jinja2 import Environment, PackageLoader, StrictUndefined
from mmengine.config import Config

from convnext_dense.config.compare_configs import ConfigDifference, config_differences
from convnext_dense.report import plots, tables
from convnext_dense.report.detection import DetectionOutcome
from convnext_dense.report.missing_parts import MissingPart, make_part
from convnext_dense.report.run import Run
from convnext_dense.report.segmentation import SegmentationOutcome
from convnext_dense.report.svg import RUNS
from convnext_dense.report.validation import ReportOptions, Validation, validate
from convnext_dense.text import one_line, printable
from convnext_dense.version import __version__
from convnext_dense.zoo.recipes import find_recipe, recipes

# Most pairs of pictures in a page, so that it stays below 10 MB.
MOST_PAIRS = 24
MOST_ROWS = 25
PROJECT = "convnext_dense"


@dataclass(frozen=True)
class RunView:
    """A run as the page shows it.

    Attributes:
        run: The run.
        colour: The number of its colour.
        validation: The predictions in validation images, or why there are none.
        recipe: The path of its recipe, if there is one.
        changes: The values in which recipe and run differ, or None if they cannot be compared.
        config: Its config as text.
        warnings: Problems of the run.
    """

    run: Run
    colour: int
    validation: Validation | MissingPart
    recipe: str
    changes: list[ConfigDifference] | None
    config: str
    warnings: list[str]

    @property
    def found(self) -> Validation | None:
        """The predictions in validation images, if there are any."""
        return self.validation if isinstance(self.validation, Validation) else None

    @property
    def published(self) -> dict | None:
        """A test's comparison with the published row of the recipe."""
        return self.run.tested.about.get("published") if self.run.tested else None


def build_views(
    runs: Sequence[Run],
    options: ReportOptions,
    progress: Callable[[str, int, int], None] = lambda run, done, of: None,
) -> list[RunView]:
    """Compare the predictions of runs with the truth, and their configs with the recipes.

    Args:
        runs: From :func:`~convnext_dense.report.run.read_runs`.
        options: How to compare validation images. With many runs, fewer pictures of each are shown.
        progress: Called with a run's name, the number of predicted images, and their final number.

    Returns:
        What the page shows of each run. A part that cannot be made is a :class:`MissingPart`, to
        which the caller may add commands.
    """
    shown = max(1, min(options.shown, MOST_PAIRS // (3 * len(runs))))
    options = replace(options, shown=shown)
    return [_view(number, run, options, progress) for number, run in enumerate(runs)]


def render_page(views: Sequence[RunView], words: Callable[[str], str] = str) -> str:
    """Make the page of one run or several.

    Args:
        views: From :func:`build_views`.
        words: Called with each text that may name Python arguments, to replace them.

    Returns:
        HTML that needs no other file.
    """
    runs = [view.run for view in views]
    names = [run.name for run in runs]
    evaluated = [
        make_part(f"The figures of {view.run.name}", tables.run_figures, view.run, view.found)
        for view in views
    ]
    measured = [None if isinstance(one, MissingPart) else one for one in evaluated]
    over_time = make_part("Figures over time", plots.metric_plots, runs)
    metrics, more_metrics = ([over_time], []) if isinstance(over_time, MissingPart) else over_time
    configs = [run.config for run in runs if run.config]
    has_configs = len(configs) == len(runs) > 1
    environment = Environment(
        loader=PackageLoader("convnext_dense.report", package_path=""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["words"] = words
    html = environment.get_template("page.html").render(
        title=f"{', '.join(names[:4])}{' and others' if len(names) > 4 else ''}",
        made=datetime.now().strftime("%Y-%m-%d %H:%M"),
        version=__version__,
        project=PROJECT,
        views=views,
        names=names,
        summary=make_part("The summary", tables.summary_table, runs),
        training=_several("Figures of training", plots.training_plots, runs),
        has_memory=any("memory" in record for run in runs for record in run.train),
        losses=_several("Parts of the loss", plots.loss_plots, runs),
        metrics=metrics,
        more_metrics=more_metrics,
        evaluated=list(zip(names, evaluated, strict=True)),
        figures=_several("The table of figures", tables.figures_tables, names, measured),
        classes=_several("The table of classes", tables.class_tables, names, measured),
        comparable=tables.are_comparable(measured),
        recall=_several("Precision over recall", _recall, views),
        confusion=[
            make_part(
                f"The confusion of {view.run.name}",
                _confusion,
                number,
                view.run.name,
                outcome,
                found.classes,
            )
            for number, view in enumerate(views)
            if (found := view.found) and isinstance(outcome := found.outcome, SegmentationOutcome)
        ],
        between=make_part("What the runs differ in", config_differences, configs)
        if has_configs
        else [],
        environment=make_part("The environment", tables.environment_table, runs),
        most_rows=MOST_ROWS,
    )
    # JSON may contain lone surrogates, which cannot be encoded.
    return html.encode(errors="replace").decode()


def _shown(value: object) -> object:
    # Markup is made by this package; other text is from files.
    return printable(value, lines=True) if type(value) is str else value


def _several(what: str, make: Callable[..., list], *args: object) -> list:
    made = make_part(what, make, *args)
    return [made] if isinstance(made, MissingPart) else made


def _view(
    number: int, run: Run, options: ReportOptions, progress: Callable[[str, int, int], None]
) -> RunView:
    seen: Validation | MissingPart
    try:
        seen = validate(run, options, lambda done, of: progress(run.name, done, of))
    except Exception as error:  # a model, its data or its modules may raise anything
        seen = MissingPart(one_line(error))
    recipe = find_recipe(run.recipe)
    changes, problems = None, list(run.problems)
    if recipe and run.config:
        try:
            original = Config.fromfile(recipes()[recipe], import_custom_modules=False)
            changes = config_differences([original, run.config])
        except Exception as error:  # a config is Python
            problems.append(f"the recipe {recipe} could not be loaded: {one_line(error)}")
    config = run.config_file.read_text(errors="replace") if run.config_file else ""
    return RunView(
        run,
        number % RUNS,
        seen,
        f"{recipe}.py" if recipe else "",
        changes,
        config,
        [*problems, *_warnings(run)],
    )


def _warnings(run: Run) -> list[str]:
    losses = [(record["step"], record.get("loss")) for record in run.train]
    broken = [s for s, loss in losses if isinstance(loss, float) and not math.isfinite(loss)]
    return [f"the loss is not a finite number from iteration {broken[0]} on"] if broken else []


def _recall(views: Sequence[RunView]) -> list[plots.Plot | MissingPart]:
    outcomes = [(view, view.found.outcome) for view in views if view.found]
    return plots.recall_plots(
        [
            (view.colour, view.run.name, outcome.curves)
            for view, outcome in outcomes
            if isinstance(outcome, DetectionOutcome)
        ]
    )


def _confusion(
    number: int, name: str, outcome: SegmentationOutcome, classes: Sequence[str]
) -> tuple[plots.Plot | MissingPart, tables.Table]:
    confusion = outcome.confusion
    plot = make_part(
        f"Confusion of {name}", plots.confusion_plot, confusion, classes, name, f"c{number}"
    )
    rows = [
        tables.Row(true, [predicted, f"{share:.1%}"])
        for true, predicted, share in plots.confusions(confusion, classes)
    ]
    title = f"Most frequent confusions of {name}"
    columns = ["truth", "predicted as", "of the truth's pixels"]
    return plot, tables.Table(title, columns, rows)
