"""Options of `quantization` that exclude each other are refused before any training."""

import pytest
from pydantic import ValidationError

from qdeploy.recipe.quantization import Quantization

LEARNED = {"activation_thresholds": "learned"}
ENTROPY = {"weight_normalization": "entropy"}


@pytest.mark.parametrize("bits", [5, 8, "float"])
def test_thresholds_to_learn_need_narrow_activations(bits):
    with pytest.raises(ValidationError, match=rf"up to 4 bits; `activation_bits` is {bits}: choos"):
        Quantization(activation_bits=bits, **LEARNED)
    layers = {"group1.*": {"activation_bits": 3}}
    assert Quantization(activation_bits=bits, layers=layers, **LEARNED).layers
    assert Quantization(activation_bits=4, **LEARNED).activation_thresholds == "learned"


@pytest.mark.parametrize("bits", [5, 8, "float"])
def test_levels_that_are_used_equally_need_narrow_weights(bits):
    with pytest.raises(ValidationError, match=rf"up to 4 bits; `weight_bits` is {bits}: choose"):
        Quantization(weight_bits=bits, **ENTROPY)
    layers = {"group1.*": {"weight_bits": 3}}
    assert Quantization(weight_bits=bits, layers=layers, **ENTROPY).layers


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("weight_step", "learned"),
        ("weight_levels", "all"),
        ("weight_levels", "power_of_two"),
        ("weight_levels", "apot"),
        ("scale", "power_of_two"),
    ],
)
def test_steps_that_follow_the_weights_exclude_others(key, value):
    with pytest.raises(ValidationError, match=f"entropy` excludes `{key}: {value}`: .*; leave one"):
        Quantization(weight_bits=3, **{key: value}, **ENTROPY)
    assert Quantization(weight_bits=3, **{key: value})


@pytest.mark.parametrize(
    ("kind", "bits", "widths"),
    [
        ("power_of_two", 2, "3 or 4"),
        ("power_of_two", 5, "3 or 4"),
        ("apot", 2, "3 or 4 or 5"),
        ("apot", "float", "3 or 4 or 5"),
    ],
)
def test_levels_of_powers_of_two_need_a_width_that_has_them(kind, bits, widths):
    with pytest.raises(ValidationError, match=f"of {widths} bits; `weight_bits` is {bits}: choose"):
        Quantization(weight_bits=bits, weight_levels=kind)
    layers = {"group1.*": {"weight_bits": 3}}
    assert Quantization(weight_bits=bits, layers=layers, weight_levels=kind).layers
    assert Quantization(weight_bits=bits, first_layer_bits=4, weight_levels=kind)


@pytest.mark.parametrize("kind", ["power_of_two", "apot"])
def test_gradients_scaled_by_distances_need_levels_one_step_apart(kind):
    with pytest.raises(ValidationError, match=f"scaling` excludes `weight_levels: {kind}`: .*; le"):
        Quantization(weight_bits=3, weight_levels=kind, weight_gradient_scaling=0.1)
