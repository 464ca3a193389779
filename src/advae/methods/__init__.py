"""The methods that there are, by the name that ``Config.method`` has; imported where used."""

from importlib import import_module
from typing import TYPE_CHECKING

from advae.config import Config
from advae.errors import ConfigError

if TYPE_CHECKING:
    from advae.core.method import Method

METHODS = {
    "advae": "advae.methods.advae.method:AdVAEMethod",
    "complementary-vae": "advae.methods.complementary_vae:ComplementaryVAE",
    "dagmm": "advae.methods.dagmm:DAGMM",
    "gan": "advae.methods.gan:GAN",
    "mo-gaal": "advae.methods.mo_gaal:MOGAAL",
    "wgan-gp": "advae.methods.wgan_gp:WGANGP",
}
"""Where each method is: module and class."""


def check_method(config: Config) -> None:
    """Refuse a method that there is none of.

    Raises
    ------
    ConfigError
        With the names of those that there are.
    """
    if config.method not in METHODS:
        raise ConfigError(f"method is {config.method!r}; expected one of {tuple(METHODS)}")


def method_of(config: Config, columns: int) -> "Method":
    """Return the method that the settings name, for rows of so many encoded columns.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    check_method(config)
    module, name = METHODS[config.method].split(":")
    method: Method = getattr(import_module(module), name).of(columns, config)
    return method
