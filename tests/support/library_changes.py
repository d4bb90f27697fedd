"""Single changes in one of the two forms of a library module, and whether they change its result.

The forms are told apart by the module's macro; the judge of two texts is Yosys' SAT solver, which
shares nothing with the proofs but the reading of Verilog.
"""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from qdeploy.resources import resource
from qdeploy.verify.memories.library import needed
from qdeploy.verify.sums.results import Construct, View

_FORMS = re.compile(
    r"`ifdef QD_\w+_AT_ONCE\n(?P<simulation>.*?)`else\n(?P<synthesis>.*?)`endif", re.S
)
_TOKENS = re.compile(r"<<|>=|<=|==|!=|[+\-&|^~<*]|\b\d+\b|\b[a-z]\b")
_OTHER = {
    "+": "-", "-": "+", "&": "|", "|": "&", "^": "&", "~": "", "<": "<=", "*": "+",
    "<<": ">>", "==": "!=", "!=": "==", ">=": ">",
}  # fmt: skip
VIEWS: tuple[View, ...] = ("synthesis", "simulation")
# More than the modules take with the parameters of the tests.
CYCLES = 9
_ONE_LETTER = ("i", "j", "s", "g", "k", "w", "a", "x", "y")


def texts_of(module: str) -> dict[str, str]:
    """A module of the library and all that it instantiates."""
    return {
        name.removesuffix(".v"): (resource("hw/rtl") / name).read_text(encoding="utf-8")
        for name in sorted(needed([module]))
    }


def form(text: str, view: View) -> tuple[int, int]:
    """Where the text of a form begins and ends; the whole module where it has but one form."""
    found = _FORMS.search(text)
    return found.span(view) if found else (text.index(");\n") + 3, text.index("endmodule"))


def changed(text: str, view: View, chance: random.Random) -> str:
    """One operator, number or name of a form changed."""
    start, end = form(text, view)
    while True:
        token = chance.choice(list(_TOKENS.finditer(text, start, end)))
        line = text[text.rfind("\n", 0, token.start()) + 1 : token.start()]
        new = _changed_token(token[0], chance)
        # A loop that does not end is nothing that a reader should try.
        if "//" not in line and "for (" not in line and new not in (None, token[0]):
            return text[: token.start()] + new + text[token.end() :]


def _changed_token(token: str, chance: random.Random) -> str | None:
    if token.isdigit():
        return str(int(token) + chance.choice((1, -1)) if int(token) else 1)
    if token.isalpha():
        return chance.choice(_ONE_LETTER) if token in _ONE_LETTER else None
    return _OTHER.get(token)


def same(
    construct: Construct, one: Mapping[str, str], two: Mapping[str, str], view: View, work: Path
) -> bool:
    """Whether two texts of a module give the same from `CYCLES` cycles after any state on."""
    script = []
    for side, texts in (("one", one), ("two", two)):
        for name, text in texts.items():
            (work / f"{side}_{name}.v").write_text(text, encoding="utf-8")
            options = "-sv -DVERILATOR " if view == "simulation" else ""
            script.append(f"read_verilog {options}{side}_{name}.v")
        changes = " ".join(f"-chparam {name} {value}" for name, value in construct.parameters)
        script += [
            f"hierarchy -check -top {construct.module} {changes}; proc; flatten; opt -full",
            f"wreduce; opt -full; rename {construct.module} {side}; design -stash {side}",
        ]
    script += [
        "design -copy-from one -as one one; design -copy-from two -as two two",
        "miter -equiv -flatten one two both; hierarchy -top both; opt",
        f"sat -timeout 60 -seq {CYCLES + 1} -prove-skip {CYCLES} -prove trigger 0 both",
    ]
    done = subprocess.run(
        ["yosys", "-Q", "-p", "; ".join(script)],
        cwd=work, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert ("SUCCESS!" in done.stdout) != ("model found: FAIL!" in done.stdout), done.stdout[-800:]
    return "SUCCESS!" in done.stdout


def changes_no_construct(constructs: Iterable[Construct], file: str, text: str, work: Path) -> bool:
    """Whether no construct gives something else, in either form, with another text of a file."""
    for construct in constructs:
        good = texts_of(construct.module)
        broken = {name: text if f"{name}.v" == file else own for name, own in good.items()}
        if broken != good and not all(same(construct, good, broken, view, work) for view in VIEWS):
            return False
    return True
