"""`wakeful evaluate`: detectors on folders of labelled series, figures printed and written."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from model.artifact import BASE, Artifact
from model.errors import EvaluationError
from model.evaluation.detector import Options
from model.evaluation.detectors import BUILDERS, require
from model.evaluation.feedback import Worth, worth_of
from model.evaluation.run import asked, run_set, workers
from model.evaluation.sets import LabelledSet, Task, read_labelled_set, tasks_of
from model.evaluation.table import SetFigures, to_json, to_text
from service.errors import SettingsError
from service.settings.detector import DIRECTIONS


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """What the command was asked for."""

    artifact: Path | None = None
    detectors: tuple[str, ...] = ()  # none named: all
    direction: Mapping[str, str] | None = None
    key: str | None = None
    jobs: int = 2
    quick: bool = False
    seed: int = 0
    together: bool = False


def evaluate(
    folders: Sequence[Path], options: EvaluateOptions, show: Callable[[str], None]
) -> list[SetFigures]:
    """Every folder is a set; `show` gets each set's table as soon as it is there."""
    names = options.detectors or tuple(BUILDERS)
    try:
        require(names)
    except EvaluationError as error:
        raise SettingsError(str(error)) from None
    sets = [read_labelled_set(folder, options.key, options.quick) for folder in folders]
    directions = _directions(options.direction or {}, sets)
    tasks = [tasks_of(one, directions, options.together) for one in sets]
    return _run(sets, tasks, names, options, show)


def worth_of_feedback(
    folders: Sequence[Path], options: EvaluateOptions, show: Callable[[str], None]
) -> dict[str, Worth]:
    """Of each set, whose series are a stream each, what it changes to mark false alarms."""
    if options.detectors or options.direction or options.together:
        raise SettingsError(
            "--feedback measures one artifact, untrained: --detectors, --direction and --together "
            "do not go with it"
        )
    found = {}
    artifact = Artifact(options.artifact or BASE)
    for folder in folders:
        labelled = read_labelled_set(folder, options.key, options.quick)
        if labelled.key is not None:
            raise SettingsError(f"--feedback: series of {folder} have many streams each")
        series = tqdm(labelled.series, desc=labelled.name, unit=" series", disable=None)
        found[labelled.name] = worth_of(artifact, series)
        show(f"{labelled.name}: {found[labelled.name].to_text()}")
    return found


def write_figures(figures: Sequence[SetFigures], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(to_json(figures), indent=2) + "\n", encoding="utf-8")


def _run(
    sets: Sequence[LabelledSet],
    tasks: Sequence[list[Task]],
    names: Sequence[str],
    options: EvaluateOptions,
    show: Callable[[str], None],
) -> list[SetFigures]:
    chosen = Options(options.artifact, options.seed)
    total = sum(task.events * len(asked(names, chosen, group)) for group in tasks for task in group)
    figures = []
    with (
        tqdm(total=total, desc="scoring", unit=" events", disable=None) as bar,
        workers(options.jobs) as pool,
    ):

        def progress(events: int) -> None:
            bar.update(events)

        for labelled, group in zip(sets, tasks, strict=True):
            bar.set_postfix_str(labelled.name)
            measured = run_set(labelled, group, names, chosen, pool, progress)
            figures.append(SetFigures(labelled.name, len(labelled.counted), tuple(measured)))
            with bar.external_write_mode():
                show(to_text(figures[-1]))
    return figures


def _directions(declared: Mapping[str, str], sets: Sequence[LabelledSet]) -> dict[str, int]:
    known = {feature for one in sets for series in one.series for feature in series.features}
    if unknown := set(declared) - known:
        raise SettingsError(f"--direction: no series has a feature {', '.join(sorted(unknown))}")
    if wrong := set(declared.values()) - set(DIRECTIONS):
        raise SettingsError(
            f"--direction: {', '.join(sorted(wrong))} is none of {', '.join(DIRECTIONS)}"
        )
    return {feature: DIRECTIONS[text] for feature, text in declared.items()}
