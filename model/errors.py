"""What can go wrong with an artifact or with training data; each message says what to do."""


class ModelError(Exception):
    """Base of this package's errors."""


class ArtifactError(ModelError):
    """An artifact folder is missing, damaged, of another format, or does not fit."""


class TrainingDataError(ModelError):
    """The given series cannot be trained on."""


class LabelledDataError(ModelError):
    """A file of labelled data cannot be read as a series."""


class EvaluationError(ModelError):
    """Detectors cannot be compared as they were asked to be."""
