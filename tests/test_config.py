"""Settings: presets, every check, JSON."""

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advae.config import PRESETS, VARIANTS, Config
from advae.errors import ConfigError

NAMES = {field.name for field in dataclasses.fields(Config)}

WRONG = {
    "method": [None, 5],
    "variant": ["advae", "", None, 3, ["adVAE"]],
    "schedule": ["step", None],
    "sampling": ["halton", None],
    "threshold": ["quantile", None],
    "hidden": [0, -1, 1.0, "8", True, 65_537],
    "latent": [0, 2.5, "8", False, 16_385],
    "iterations": [0, -5, 1e3, True, 10**9 + 1],
    "batch_size": [0, 12.5, None, 10**6 + 1],
    "patience": [-1, 2.0, None, 10**9 + 1],
    "points": [0, None, 2**20 + 1],
    "members": [0, 1.5, None, 1025],
    "seed": [-1, 0.5, None, 2**63],
    "lambda_": [-0.1, math.nan, math.inf, "1", None],
    "gamma": [-1e-9, math.nan, math.inf, None],
    "margin_x": [-1.0, math.nan, -math.inf, None],
    "margin_z": [-1.0, math.nan, math.inf, "40"],
    "relative_margin_x": [-1.0, math.nan, math.inf, None],
    "relative_margin_z": [-1.0, math.nan, math.inf, None],
    "learning_rate": [0, 0.0, -0.001, math.nan, math.inf, None],
    "alpha": [0.0, 1.0, -0.1, 1.1, math.nan, math.inf, 1, 0, "0.1", None],
    "swap": [-0.1, 1.1, math.nan, "0.1", None],
    "input_noise": [-0.1, math.nan, math.inf, None],
    "whiten": [0, 1, "yes", None],
    "surprise": [0, 1, "yes", None],
    "time": ["", "Cycles", "calendar", 1, None],
    "memory": [-1, 1, 2.0, None, 2**16 + 1],
    "trim": [-0.1, 0.5, 1, math.nan, math.inf, "0.1", None],
    "calibration": [0.0, 1.0, -0.2, 2.0, math.nan, None],
}


def test_default_preset_has_the_defaults():
    assert Config.preset("default") == Config()


def test_paper_preset_has_the_papers_settings():
    paper = Config.preset("paper")
    assert paper.variant == "adVAE"
    assert (paper.batch_size, paper.iterations, paper.learning_rate) == (128, 20_000, 0.001)
    assert (paper.schedule, paper.patience, paper.members) == ("constant", 0, 1)
    assert (paper.gamma, paper.margin_x, paper.margin_z) == (0.001, 2.0, 40.0)
    assert (paper.relative_margin_x, paper.relative_margin_z) == (0, 0)
    assert (paper.swap, paper.input_noise) == (0, 0)
    assert (paper.whiten, paper.memory) == (False, 0)
    assert (paper.points, paper.sampling) == (1000, "random")
    assert (paper.threshold, paper.alpha) == ("kde", 0.1)


@pytest.mark.parametrize(
    ("columns", "hidden", "latent"),
    [(32, 16, 11), (21, 10, 7), (36, 18, 12), (16, 8, 5), (2, 1, 2), (1, 1, 2), (7, 3, 2)],
)
def test_paper_preset_sizes(columns, hidden, latent):
    assert Config.preset("paper").network_sizes(columns) == (hidden, latent)


def test_papers_latent_size_of_optdigits_is_given():
    assert Config.preset("paper", latent=16).network_sizes(64) == (32, 16)


@pytest.mark.parametrize(("columns", "latent"), [(100, 32), (32, 32), (5, 5), (1, 1)])
def test_latent_is_at_most_the_columns(columns, latent):
    assert Config().network_sizes(columns) == (128, latent)
    wide = Config(latent_at_most_columns=False)
    assert wide.network_sizes(columns) == (128, 32)


def test_presets_take_changes():
    paper = Config.preset("paper", seed=7, variant="VAE")
    assert (paper.seed, paper.variant, paper.points) == (7, "VAE", 1000)


@pytest.mark.parametrize("name", ["Paper", "", "fast", None])
def test_unknown_preset(name):
    with pytest.raises(ConfigError, match=r"preset is .*; expected one of \('default', 'paper'\)"):
        Config.preset(name)


def test_unknown_settings_are_named():
    with pytest.raises(ConfigError, match=r"unknown setting 'lambda'; known are .*'lambda_'"):
        Config.preset("default", **{"lambda": 0.1})
    with pytest.raises(ConfigError, match="unknown setting 'epochs'"):
        Config.from_json({"epochs": 3, "seed": 1})


@pytest.mark.parametrize(("name", "values"), WRONG.items())
def test_each_check_echoes_the_setting_and_its_value(name, values):
    for value in values:
        with pytest.raises(ConfigError) as caught:
            Config.from_json({name: value})
        assert str(caught.value).startswith(f"{name} is {value!r}; expected ")


def test_every_setting_has_wrong_values_above():
    assert {"latent_at_most_columns"} == NAMES - WRONG.keys()


@pytest.mark.parametrize(
    "edge",
    [
        {"hidden": None, "latent": None},
        {"lambda_": 0, "gamma": 0, "margin_x": 0, "margin_z": 0},
        {"iterations": 1, "batch_size": 1, "points": 1, "members": 1, "hidden": 1, "latent": 1},
        {"trim": 0},
        {"seed": 0, "alpha": 1e-6, "calibration": 0.999, "learning_rate": 1e-12},
    ],
)
def test_the_edges_of_the_ranges_are_allowed(edge):
    config = Config.from_json(edge)
    assert {name: getattr(config, name) for name in edge} == edge


def test_settings_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().alpha = 0.2


configs = st.builds(
    Config,
    variant=st.sampled_from(list(VARIANTS)),
    hidden=st.none() | st.integers(1, 65_536),
    latent=st.none() | st.integers(1, 16_384),
    latent_at_most_columns=st.booleans(),
    lambda_=st.floats(0, 1e6),
    margin_z=st.floats(0, 1e6),
    learning_rate=st.floats(1e-300, 1e6),
    schedule=st.sampled_from(["constant", "cosine"]),
    members=st.integers(1, 1024),
    alpha=st.floats(0, 1, exclude_min=True, exclude_max=True),
    seed=st.integers(0, 2**32 - 1),
)


@given(configs)
def test_json_round_trip_is_exact(config):
    text = json.dumps(config.to_json(), allow_nan=False)
    assert Config.from_json(json.loads(text)) == config
    assert config.to_json().keys() == NAMES


@given(configs, st.integers(1, 10_000))
def test_network_sizes_are_always_possible(config, columns):
    hidden, latent = config.network_sizes(columns)
    assert hidden >= 1
    assert latent >= 1
    assert latent <= columns or not config.latent_at_most_columns


def test_settings_left_out_have_their_defaults():
    assert Config.from_json({}) == Config()
    assert Config.from_json({"alpha": 0.05}) == Config(alpha=0.05)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_hold_known_settings_only(name):
    assert PRESETS[name].keys() <= NAMES


def test_a_whole_number_beyond_floats_is_refused():
    with pytest.raises(ConfigError, match="lambda_"):
        Config(lambda_=10**400)


@pytest.mark.parametrize("name", ["lambda_", "gamma", "margin_x", "margin_z", "learning_rate"])
def test_a_truth_value_is_not_a_number(name):
    with pytest.raises(ConfigError, match=name):
        Config.from_json({name: True})


def test_latent_at_most_columns_is_true_or_false():
    with pytest.raises(ConfigError, match="latent_at_most_columns"):
        Config.from_json({"latent_at_most_columns": "no"})


@pytest.mark.parametrize("stored", [[], None, "x"])
def test_settings_that_are_no_mapping(stored):
    with pytest.raises(ConfigError, match="settings"):
        Config.from_json(stored)


def test_iterations_follow_the_rows_between_bounds():
    config = Config()
    counts = [config.iterations_for(rows) for rows in (2, 100, 1000, 2000, 10**6)]
    assert counts == sorted(counts)
    assert counts[0] == counts[1] < counts[2] < counts[3]
    assert counts[-1] == 6000
    assert Config(iterations=7).iterations_for(10**6) == 7
    assert Config.preset("paper").iterations_for(10) == 20_000
