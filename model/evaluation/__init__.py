"""How good scores and alarms are, measured against labels; and detectors to measure.

The measures are pure functions over numpy arrays. Which rows of a set are trained on and counted is
said in `sets`, what a detector is in `detector`, which there are in `detectors`.

Rows are events in the order of their times. A label is True where an event is anomalous; an
interval is a run of such rows, given as its first row and the row behind its last one. A score is
finite, and higher where an event is more anomalous; at a threshold, an event raises an alarm if its
score reaches it. A measure that the labels leave undefined is NaN.

Nothing here is point-adjusted: an alarm counts for the rows that it was raised on.
"""
