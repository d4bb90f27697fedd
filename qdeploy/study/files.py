"""What a study file says: networks, variants, scales, figures and claims; ranges and defaults.

A trial is a network, a variant and a seed at a scale. Its recipe is that of the network with the
settings (`--set`) of the scale, the network and the variant, in this order; then the phases that
the variant does not name are left out, and what is measured is the result of the last one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from qdeploy.recipe.models import NAME_PATTERN
from qdeploy.recipe.section import Section

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
ScaleName = Literal["smoke", "short", "full"]
SCALES: tuple[ScaleName, ...] = ("smoke", "short", "full")
# Measures of a trial, and what an axis calls them.
MEASURES = {
    "accuracy": "test accuracy [%]",
    "miou": "mean intersection over union [%]",
    "train_accuracy": "training accuracy [%]",
    "distortion": "distortion [% of the plane]",
    "noise": "noise [% of the plane]",
    "weights": "weights",
    "weight_kib": "weights [KiB]",
    "compression": "effective compression ratio",
    "lut": "LUTs (Yosys, before placement)",
    "bram36": "block RAMs (36 kbit)",
    "dsp": "DSP blocks",
    "fps": "frames/s (RTL simulation, at the board's assumed clock)",
}


class StudyNetwork(Section):
    """One network, or several with `over`."""

    recipe: str = Field(
        min_length=1,
        description="a recipe that comes with qdeploy, or a file beside the study",
    )
    set: list[str] = Field(default_factory=list, description="settings, as `train --set`")
    over: list[str] = Field(
        default_factory=list,
        description="keys and values, as `sweep --over`: each combination is a network of its own",
    )
    values: dict[Name, float] = Field(
        default_factory=dict, description="numbers that figures and claims arrange networks by"
    )
    series: str = Field(default="", description="networks that one panel of a figure shows")
    export: dict[Literal["fps", "max_lut", "max_bram36", "max_dsp", "clock_mhz"], float] = Field(
        default_factory=dict, description="limits of its hardware, for `study run --export`"
    )


class Variant(Section):
    """What is done with every network."""

    set: list[str] = Field(default_factory=list, description="settings, as `train --set`")
    phases: list[Name] | None = Field(
        default=None, min_length=1, description="phases that are kept; default: all"
    )
    label: str = Field(default="", description="name in figures; default: the variant's")


class Scale(Section):
    """How much is run."""

    seeds: list[Annotated[int, Field(ge=0, lt=2**31)]] = Field(
        min_length=1, description="seeds of every trial"
    )
    networks: list[Name] | None = Field(default=None, description="some of them; default: all")
    variants: list[Name] | None = Field(default=None, description="some of them; default: all")
    set: list[str] = Field(default_factory=list, description="settings of every recipe")
    stand_in: list[str] = Field(
        default_factory=list,
        description="settings that are added where the data set is missing; without them such a "
        "trial is left out; said in either case",
    )
    note: str = Field(default="", description="what readers have to know of figures at this scale")

    @model_validator(mode="after")
    def _seeds_once(self) -> Scale:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("`seeds` names a seed twice")
        return self


class Lines(Section):
    """A measure along a number of the networks, a line per variant, a panel per series."""

    kind: Literal["lines"]
    title: str
    x: Name = Field(description="key of the networks' `values`, or a measure")
    x_label: str = ""
    y: str = Field(default="accuracy", description="measure")
    minus: str = Field(
        default="", description="variant that is subtracted, seed by seed: a difference"
    )
    variants: list[Name] | None = None
    networks: list[Name] | None = None
    log_x: bool = False


class Maps(Section):
    """What networks say of each point of the plane: a picture per network and variant."""

    kind: Literal["maps"]
    title: str
    variants: list[Name] | None = None
    networks: list[Name] | None = None


class Front(Section):
    """One measure against another one, a point per network and variant, and the Pareto front."""

    kind: Literal["front"]
    title: str
    x: str = Field(description="measure that should be small, or large with `more_x`")
    y: str = Field(default="accuracy", description="measure that should be large")
    more_x: bool = False
    series: str = Field(default="", description="networks of it alone; default: all")
    variants: list[Name] | None = None
    networks: list[Name] | None = None


class LearningRates(Section):
    """The learning rate of a phase, step by step, drawn from the code that trains."""

    kind: Literal["schedule"]
    title: str
    recipe: str
    phase: Name
    steps_per_epoch: int = Field(default=100, ge=1, le=100_000)


StudyFigure = Annotated[Lines | Maps | Front | LearningRates, Field(discriminator="kind")]


class Trend(Section):
    """Whether a measure rises or falls along a number of the networks: the slope of a line."""

    measure: str = "accuracy"
    variant: Name
    minus: str = Field(default="", description="variant that is subtracted, seed by seed")
    along: Name
    networks: list[Name] | None = None
    log: bool = Field(default=False, description="along the logarithm of the number")
    direction: Literal["rises", "falls"]


class Rank(Section):
    """Whether networks come in the order of the paper's figures: Spearman's correlation."""

    measure: str = "accuracy"
    variant: Name
    networks: list[Name] | None = None


class Factors(Section):
    """Whether the learning rates of one cycle are the paper's factors times the first one."""

    recipe: str
    phase: Name


class Claim(Section):
    """One sentence of a paper, and the figure that tells whether it holds here.

    Exactly one of `more` (with `than`), `trend`, `rank`, `factors`. Terms of `more` and `than` are
    `measure[network, variant]`, joined by + and -.
    """

    says: str = Field(min_length=1, description="what the paper says")
    source: str = Field(min_length=1, description="where")
    more: str = ""
    than: str = ""
    trend: Trend | None = None
    rank: Rank | None = None
    factors: Factors | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Claim:
        if bool(self.more) != bool(self.than):
            raise ValueError("`more` and `than` belong together: give both")
        kinds = [self.more, self.trend, self.rank, self.factors]
        if sum(bool(kind) for kind in kinds) != 1:
            raise ValueError("a claim has one of `more` with `than`, `trend`, `rank`, `factors`")
        return self


class Study(Section):
    """A study file."""

    title: str = Field(min_length=1, description="what it is about, one line")
    source: str = Field(default="", description="paper, with tables and figures")
    facts: str | None = Field(
        default=None, description="csv file with the paper's figures, beside the study"
    )
    about: str = Field(default="", description="paragraphs for the page")
    threads: int = Field(
        default=1, ge=1, le=1024, description="threads of each trial; part of its address"
    )
    networks: dict[Name, StudyNetwork] = Field(default_factory=dict)
    variants: dict[Name, Variant] = Field(default_factory=dict)
    scales: dict[ScaleName, Scale] = Field(default_factory=dict)
    figures: dict[Name, StudyFigure] = Field(default_factory=dict)
    claims: list[Claim] = Field(default_factory=list)

    @property
    def trains(self) -> bool:
        """Whether it has trials; one that only draws has none."""
        return bool(self.networks)

    @model_validator(mode="after")
    def _names_known(self) -> Study:
        if bool(self.networks) != bool(self.variants) or (self.networks and not self.scales):
            raise ValueError("a study with trials has `networks`, `variants` and `scales`")
        if not self.networks and not self.figures:
            raise ValueError("a study without networks has `figures`, such as a schedule")
        for place, names, known in self._uses():
            for name in names:
                if name not in known:
                    raise ValueError(
                        f"{place}: there is no `{name}`; there are: {', '.join(known) or 'none'}"
                    )
        return self

    def _uses(self) -> list[tuple[str, list[str], dict[str, Any]]]:
        """Where names are used, which, and the ones that there are."""
        # Networks of `over` get their names when recipes are read.
        swept = any(network.over for network in self.networks.values())
        uses: list[tuple[str, list[str], dict[str, Any]]] = []
        sections: list[tuple[str, Any]] = [(f"scales.{k}", s) for k, s in self.scales.items()]
        sections += [(f"figures.{name}", one) for name, one in self.figures.items()]
        for number, claim in enumerate(self.claims):
            sections.append((f"claims.{number}", claim.trend or claim.rank))
        for place, one in sections:
            if not swept:
                uses.append((place, getattr(one, "networks", None) or [], self.networks))
            variants = [*(getattr(one, "variants", None) or [])]
            variants += [v for v in (getattr(one, "variant", ""), getattr(one, "minus", "")) if v]
            uses.append((place, variants, self.variants))
            measures = [getattr(one, key, "") for key in ("y", "measure")]
            uses.append((place, [m for m in measures if m], MEASURES))
        return uses


class Opened:
    """A study and the file that it is in."""

    def __init__(self, name: str, path: Path, study: Study, where: dict[str, str]) -> None:
        self.name, self.path, self.study, self.where = name, path, study, where

    def line(self, key: str) -> str:
        """`file:line (key)` of a key such as `networks.resnet20`, or of the nearest one above."""
        at = key
        while at and at not in self.where:
            at = at.rpartition(".")[0]
        return f"{self.where.get(at, str(self.path))} ({key})"
