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
    [("weight_step", "learned"), ("weight_levels", "all"), ("scale", "power_of_two")],
)
def test_steps_that_follow_the_weights_exclude_others(key, value):
    with pytest.raises(ValidationError, match=f"entropy` excludes `{key}: {value}`: .*; leave one"):
        Quantization(**{key: value}, **ENTROPY)
    assert Quantization(**{key: value})
