"""The memory of a stream that nothing was heard of yet."""

from collections.abc import Mapping, Sequence

from model.config import ModelConfig
from model.population import Population
from model.row import RowLayout, RowTable
from model.tails import CREDIT_BLOCKS, SILENT, summarise
from model.views import ABSENT, VIEWS


def layout_of(config: ModelConfig, features: int) -> RowLayout:
    """The row of a stream with this many features."""
    return RowLayout(
        features=features,
        resolutions=len(config.resolutions),
        runs=1 if config.joint else features,
        memory=config.memory,
        pending=config.pending,
        views=0 if config.in_population else len(config.views),
        blocks=config.blocks,
        profiled="day" in config.views or "week" in config.views,
    )


def fresh_table(
    config: ModelConfig,
    calibration: Mapping[str, Sequence[int]],
    population: Population | None,
    features: int,
) -> RowTable:
    """One row. calibration: for each view the block maxima, as bytes, that it starts with.

    population: what other streams say: the first value, too, is held against theirs.
    """
    table = RowTable.zeros(layout_of(config, features), 1)
    table.head["offset"] = -1
    table.tails["surprise"] = ABSENT
    table.tails["maximum"] = SILENT
    table.head["credit"] = CREDIT_BLOCKS
    for name in ("errors", "usual_errors", "distance", "usual_distance"):
        table.head[name] = 1.0
    for view, maxima in calibration.items():
        v = config.views.index(view)
        table.head["ring"] = len(maxima)
        table.maxima[0, v, : len(maxima)] = maxima
        summarise(table.tails[0, v], table.maxima[0, v], len(maxima), VIEWS.index(view))
    for f, scales in enumerate(config.scales):
        table.features[0, :, f]["start_scale"], table.features[0, :, f]["start_step"] = scales
    if population:
        table.head["pace"] = population.pace
        for f, name in enumerate(config.features):
            table.features[0, :, f] = population.features[name].started()
            table.locations[0, :, f] = population.features[name].level
            table.spreads[0, :, f] = population.features[name].spread
    return table
