"""The exceptions of advae: one root, one child per place where a user can act.

Every message says what is wrong, where (file, column, row), and what to do about it. The command
line prints the message alone and exits with code 2.
"""


class AdVAEError(Exception):
    """Root of every error that advae raises on purpose."""


class InputError(AdVAEError, ValueError):
    """A table, file or array cannot be used as it is."""


class ConfigError(AdVAEError, ValueError):
    """A setting has a value, or a combination of values, that cannot work."""


class ModelFileError(AdVAEError):
    """A model or checkpoint file is missing, damaged, too new, or not a model."""


class TrainingError(AdVAEError, RuntimeError):
    """Training could not go on, for instance because a loss stopped being finite."""


class MissingExtraError(AdVAEError, ImportError):
    """An optional dependency is needed; the message names the extra to install."""
