"""What a study has found: measures of its cells by seed, read from the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from qdeploy.data.synthetic2d import area_labels
from qdeploy.study.facts import Facts, read_facts
from qdeploy.study.files import Opened, StudyNetwork
from qdeploy.study.grid import expanded
from qdeploy.study.plane import errors
from qdeploy.study.statistics import Spread, spread
from qdeploy.study.store import DONE, Row, Store
from qdeploy.study.trial import unpacked
from qdeploy.training.analysis.size import effective_compression
from qdeploy.training.measured import plane_points

_PERCENT = ("accuracy", "train_accuracy", "miou")
_HARDWARE = ("lut", "bram36", "dsp", "fps")


@dataclass(frozen=True)
class Results:
    """A study at a scale, as far as it is run.

    Args:
        networks: by name, those of `over` one by one.
        builds: (address, options) -> hardware, of the board that is asked for.
        makers: provenance of the results.
    """

    opened: Opened
    scale: str
    networks: Mapping[str, StudyNetwork]
    facts: Facts
    rows: list[Row]
    builds: Mapping[tuple[str, str], Mapping[str, Any]]
    makers: list[dict[str, Any]]

    @cached_property
    def variants(self) -> list[str]:
        """Those of this scale, in the study's order."""
        here = {row.variant for row in self.rows}
        return [name for name in self.opened.study.variants if name in here]

    @cached_property
    def names(self) -> list[str]:
        """Networks of this scale, in the study's order."""
        here = {row.network for row in self.rows}
        return [name for name in self.networks if name in here]

    def count(self, state: str) -> int:
        """Cells in a state."""
        return sum(row.state == state for row in self.rows)

    def label(self, variant: str) -> str:
        """What figures call a variant."""
        return self.opened.study.variants[variant].label or variant

    def by_seed(
        self, network: str, variant: str, measure: str, minus: str = ""
    ) -> dict[int, float]:
        """Seed -> a measure, or its difference to another variant's, where both are there."""
        found = self._values.get((network, variant, measure), {})
        if not minus:
            return found
        other = self._values.get((network, minus, measure), {})
        return {seed: value - other[seed] for seed, value in found.items() if seed in other}

    def spread(self, network: str, variant: str, measure: str, minus: str = "") -> Spread | None:
        """Over the seeds; None where nothing is there."""
        return spread(list(self.by_seed(network, variant, measure, minus).values()))

    def along(self, network: str, key: str) -> float | None:
        """A number that networks are arranged by: one of their `values`, or a measure."""
        own = self.networks[network].values.get(key)
        if own is not None:
            return own
        for variant in self.variants:
            found = self.spread(network, variant, key)
            if found is not None:
                return found.mean
        return None

    def plane(self, network: str, variant: str) -> npt.NDArray[np.bool_] | None:
        """The prediction map of the first seed that is done."""
        for row in self.rows:
            if (row.network, row.variant) == (network, variant) and row.state == DONE:
                text = _network_of(row).get("plane")
                if text is not None:
                    return unpacked(text, self.side)
        return None

    @cached_property
    def labels(self) -> npt.NDArray[np.int64]:
        """The label of every point of the plane, an image."""
        flat = area_labels(plane_points())
        return flat.reshape(round(len(flat) ** 0.5), -1)

    @property
    def side(self) -> int:
        """Points of a row of the plane."""
        return len(self.labels)

    @cached_property
    def measures(self) -> list[str]:
        """Those that some cell has."""
        return sorted({measure for (_, _, measure) in self._values})

    @cached_property
    def _values(self) -> dict[tuple[str, str, str], dict[int, float]]:
        found: dict[tuple[str, str, str], dict[int, float]] = {}
        for row in self.rows:
            for measure, value in self._measured(row).items():
                found.setdefault((row.network, row.variant, measure), {})[row.seed] = value
        return found | self._compression(found)

    def _compression(
        self, found: Mapping[tuple[str, str, str], Mapping[int, float]]
    ) -> dict[tuple[str, str, str], dict[int, float]]:
        """The effective compression ratio, by the float networks of the same series and seed."""
        ratios: dict[tuple[str, str, str], dict[int, float]] = {}
        floating = {row.variant for row in self.rows if row.floating}
        for network, variant, measure in found:
            if measure != "weight_kib" or variant in floating:
                continue
            series = self.networks[network].series
            for seed, size in found[network, variant, measure].items():
                accuracy = found.get((network, variant, "accuracy"), {}).get(seed)
                family = [
                    (int(weights[seed]), found[name, one, "accuracy"][seed])
                    for (name, one, key), weights in found.items()
                    if key == "weights" and one in floating and seed in weights
                    if self.networks[name].series == series
                    and seed in found.get((name, one, "accuracy"), {})
                ]
                if accuracy is None:
                    continue
                ratio = effective_compression(accuracy, round(8192 * size), family)
                if ratio is not None:
                    ratios.setdefault((network, variant, "compression"), {})[seed] = ratio
        return ratios

    def _measured(self, row: Row) -> dict[str, float]:
        if row.state != DONE:
            return {}
        phase = row.result.get("phases", {}).get(row.phase, {})
        network = _network_of(row)
        found = {key: 100 * phase[key] for key in _PERCENT if key in phase}
        if "weights" in network:
            found["weights"] = network["weights"]
            found["weight_kib"] = network["weight_bits"] / 8192
        if "plane" in network:
            here = errors(unpacked(network["plane"], self.side), self.labels)
            found |= {"distortion": 100 * here.distortion, "noise": 100 * here.noise}
        options = json.dumps(dict(self.networks[row.network].export), sort_keys=True)
        made = self.builds.get((row.address or "", options), {})
        if made.get("state") == DONE and not row.floating:
            found |= {key: made[key] for key in _HARDWARE if made.get(key) is not None}
        return found


def read_results(opened: Opened, scale: str, store: Store, board: str | None = None) -> Results:
    """What the store has of a study.

    Raises:
        StudyError: the facts are wrong.
    """
    networks = expanded(opened)
    rows = [row for row in store.rows(opened.name, scale) if row.network in networks]
    rows = [row for row in rows if row.variant in opened.study.variants]
    return Results(
        opened,
        scale,
        networks,
        read_facts(opened.study.facts, opened.path),
        rows,
        store.builds(board),
        store.makers(opened.name, scale),
    )


def _network_of(row: Row) -> dict[str, Any]:
    found: dict[str, Any] = row.result.get("float" if row.floating else "last", {})
    return found
