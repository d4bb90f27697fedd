"""The comparison of methods: equal epochs, and verdicts that the differences bear out."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

import qdeploy

BENCH = Path(qdeploy.__file__).resolve().parent.parent / "bench"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, ModuleType]:
    """The modules `methods` and `methods_page`, imported as a bench script imports them."""
    monkeypatch.syspath_prepend(str(BENCH))
    import methods
    import methods_page

    return methods, methods_page


@pytest.mark.parametrize("network", ["mlp", "convnet"])
def test_every_variant_is_a_recipe_of_as_many_epochs_from_the_same_float_network(
    bench: tuple[ModuleType, ModuleType], network: str
) -> None:
    methods, _ = bench
    names = [variant.name for variant in methods.VARIANTS]
    assert names[0] == "plain"
    assert len(set(names)) == len(names)
    plain = methods.recipe_of(network, methods.VARIANTS[0], 1)
    digests = set()
    for variant in methods.VARIANTS:
        recipe = methods.recipe_of(network, variant, 1)
        assert recipe.phases[0] == plain.phases[0]
        assert sum(recipe.epochs_of(phase) for phase in recipe.phases[1:]) == methods.EPOCHS
        digests.add(methods.recipe_digest(recipe.model_copy(update={"name": "x"})))
    # No two train the same; widths are chosen later, from the float network.
    later = [variant.name for variant in methods.VARIANTS if variant.widths is not None]
    assert later == ["mixed-noise", "mixed-hessian"]
    assert len(digests) == len(names) - len(later)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([0.3, 0.4, 0.5], "helps"),
        ([-0.3, -0.4, -0.5], "hurts"),
        ([0.3, 0.4, -0.1], "no difference seen"),
        ([0.01, 0.02, 0.9], "no difference seen"),  # all up, but one seed is most of it
        ([0.3, 0.4], "no difference seen"),
    ],
)
def test_a_verdict_needs_all_seeds_and_more_than_their_spread(
    bench: tuple[ModuleType, ModuleType], found: list[float], said: str
) -> None:
    assert bench[1].verdict(found) == said


def test_the_page_has_a_line_for_each_method(bench: tuple[ModuleType, ModuleType]) -> None:
    plain = {
        "network": "Net",
        "metric": "plain",
        "peer": "plain",
        "what": "nothing",
        "source": "-",
        "epochs": 24,
        "seeds": [0, 1, 2],
        "accuracies": [80.0, 81.0, 82.0],
        "plain": [80.0, 81.0, 82.0],
        "float": [85.0, 86.0, 87.0],
        "run": 0,
    }
    other = {**plain, "metric": "better", "accuracies": [80.5, 81.6, 82.4]}
    del other["float"]
    run = {"commit": "0123456789ab", "machine": {"processor": "P"}}
    text = bench[1].page({"runs": [run], "rows": [plain, other]})
    assert "Float 86.00 ± 1.00 %; plain retraining is 5.00 points below." in text
    assert "| plain | nothing | - | 24 | 81.00 ± 1.00 | - | - |" in text
    assert "| better | nothing | - | 24 | 81.50 ± 0.95 | +0.50 ± 0.06 | helps |" in text
    assert "3 seeds, at commit 0123456; P, one thread." in text
