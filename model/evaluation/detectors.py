"""The detectors by name. Those that need more packages import them when they are built."""

import importlib.util
from collections.abc import Callable, Sequence
from functools import partial
from typing import get_args

from model.config import Cell
from model.errors import EvaluationError
from model.evaluation.baselines.ewma import ewma
from model.evaluation.baselines.moving_z_score import moving_z_score
from model.evaluation.baselines.online import OnlineBaseline
from model.evaluation.detector import Detector, Options
from model.evaluation.wakeful import WakefulDetector

EXTRA = ".venv/bin/pip install -e '.[evaluate]'"


def require(names: Sequence[str]) -> None:
    """EvaluationError where a name is not known, or needs a package that is not installed."""
    for name in names:
        if name not in BUILDERS:
            raise EvaluationError(f"no detector {name}; there are {', '.join(BUILDERS)}")
        package = PACKAGES.get(name)
        if package and importlib.util.find_spec(package) is None:
            raise EvaluationError(
                f"{name} needs {package}: {EXTRA}, or choose others with --detectors"
            )


def build(name: str, options: Options) -> Detector:
    """The detector of that name."""
    require([name])
    return BUILDERS[name](options)


def _wakeful(options: Options) -> Detector:
    if options.artifact is not None:
        return WakefulDetector("wakeful", trains=False, artifact=options.artifact)
    return WakefulDetector("wakeful", seed=options.seed)


def _control(cell: Cell, options: Options) -> Detector:
    return WakefulDetector(f"wakeful-{cell}", cell=cell, seed=options.seed)


def _untrained(options: Options) -> Detector:
    return WakefulDetector("wakeful-untrained", cell="lstm", updates=0, seed=options.seed)


def _half_space_trees(options: Options) -> Detector:
    from model.evaluation.baselines.half_space_trees import half_space_trees

    return OnlineBaseline("half-space-trees", half_space_trees, options.seed)


def _random_cut_forest(options: Options) -> Detector:
    from model.evaluation.baselines.random_cut_forest import random_cut_forest

    return OnlineBaseline("random-cut-forest", random_cut_forest, options.seed)


def _windowed_lstm(options: Options) -> Detector:
    from model.evaluation.baselines.windowed_lstm import WindowedLstm

    return WindowedLstm(options.seed)


BUILDERS: dict[str, Callable[[Options], Detector]] = {
    "wakeful": _wakeful,
    "wakeful-base": lambda _: WakefulDetector("wakeful-base", trains=False),
    **{f"wakeful-{cell}": partial(_control, cell) for cell in get_args(Cell)},
    "wakeful-untrained": _untrained,
    "moving-z-score": lambda _: OnlineBaseline("moving-z-score", moving_z_score),
    "ewma": lambda _: OnlineBaseline("ewma", ewma),
    "half-space-trees": _half_space_trees,
    "random-cut-forest": _random_cut_forest,
    "windowed-lstm": _windowed_lstm,
}
PACKAGES = {
    **{f"wakeful-{cell}": "torch" for cell in get_args(Cell)},
    "wakeful-untrained": "torch",
    "half-space-trees": "river",
    "random-cut-forest": "krcf",
    "windowed-lstm": "torch",
}
"""What a detector needs beyond what serving does."""
