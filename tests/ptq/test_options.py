"""What may be asked of a quantization without training."""

from __future__ import annotations

from typing import Any

import pytest

from qdeploy.errors import UserError
from qdeploy.ptq.options import METHODS, PostTraining


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"weight_bits": 9}, "weight bits: 9"),
        ({"activation_bits": 1}, "one bit needs training"),
        ({"end_bits": 0}, "end bits: 0"),
        ({"residual_bits": 16}, "residual bits: 16"),
        ({"methods": ("gptq", "gpfq")}, "`gptq` and `gpfq` exclude each other"),
        ({"methods": ("adaround", "bias-correction", "gptq")}, "`adaround` and `gptq` exclude"),
        ({"methods": ("gpfqq",)}, "did you mean `gpfq`"),
        ({"methods": ("equalize", "equalize")}, "named twice"),
        ({"percentile": 50.0}, "percentile of 50"),
        ({"percentile": 100.1}, "percentile of 100.1"),
        ({"percentile": float("nan")}, "percentile of nan"),
        ({"images": 0}, "0 calibration frames"),
    ],
)
def test_values_that_make_no_sense_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        PostTraining(**given)
    assert said in caught.value.render()


def test_record_names_methods_in_the_order_of_their_application() -> None:
    options = PostTraining(methods=("bias-correction", "gptq", "equalize"))
    assert options.to_json()["methods"] == ["equalize", "gptq", "bias-correction"]
    assert options.rounding == "gptq"
    assert PostTraining(methods=tuple(set(METHODS) - {"gpfq", "gptq", "adaround"})).rounding is None
