"""Which values of events are to blame, by what rules say of them."""

import numpy as np
import numpy.typing as npt

from model.compiled import compiled
from model.suppression import BY_MUTE, BY_RULE, does_not_matter, is_outside

F64 = npt.NDArray[np.float64]
Structured = npt.NDArray[np.void]


def blamed(values: F64, expected: F64, surprise: F64, scores: Structured, rules: Structured) -> F64:
    """(n, F): the surprises of n events, 0 where a rule says that a value does not matter.

    Of a suppressed event they stay: they say what is suppressed. scores: (n,) of
    `model.judge.SCORE`. rules: (F,) of `model.suppression.RULE`.
    """
    left = surprise.copy()
    # Contiguous, as one event's columns are: it is compiled once.
    expected, bounds = (np.ascontiguousarray(part) for part in (expected, scores["bound"]))
    _leave_out(values, expected, bounds, rules, left)
    return left


@compiled
def _leave_out(
    values: F64, expected: F64, bounds: npt.NDArray[np.uint8], rules: Structured, left: F64
) -> None:
    for i in range(values.shape[0]):
        if bounds[i] == BY_MUTE or bounds[i] == BY_RULE:
            continue
        for f in range(values.shape[1]):
            fine = does_not_matter(values[i, f], expected[i, f], rules[f])
            if fine and not is_outside(values[i, f], rules[f]):
                left[i, f] = 0.0
