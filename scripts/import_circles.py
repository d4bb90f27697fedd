"""Find files of a package that import each other in a circle.

    python scripts/import_circles.py [PACKAGE]

Every import counts, wherever it stands: one inside a function or under TYPE_CHECKING hides a circle
from Python, but not from whoever has to understand one of the files without the other.
"""

from __future__ import annotations

import graphlib
import sys
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parent.parent
ADVICE = """\
  why      none of these files can be read, tested or changed without the others
  do this  move what both sides need into a file that imports neither, or pass it as an argument
"""


def circles(graph: grimp.ImportGraph) -> list[list[str]]:
    """Circles of imports, each as modules where every one imports the next and the last the first.

    No two circles share an import, and without the imports of those listed the package has none.
    """
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    found = []
    while True:
        try:
            graphlib.TopologicalSorter(imports).prepare()
        except graphlib.CycleError as error:
            # graphlib lists a module before the one that imports it, the first again at the end.
            circle = error.args[1][:0:-1]
            for importer, imported in pairs(circle):
                imports[importer] = imports[importer] - {imported}
            found.append(circle)
        else:
            return found


def pairs(circle: list[str]) -> list[tuple[str, str]]:
    """The imports of a circle, as importer and imported."""
    return list(zip(circle, [*circle[1:], circle[0]], strict=True))


def report(graph: grimp.ImportGraph, circle: list[str]) -> str:
    """A message with a line for every file of the circle, naming the import that leads on."""
    lines = [f"error: {len(circle)} files import each other in a circle"]
    for importer, imported in pairs(circle):
        detail = graph.get_import_details(importer=importer, imported=imported)[0]
        place = f"{importer.replace('.', '/')}.py:{detail['line_number']}"
        lines.append(f"  {place}  {detail['line_contents']}")
    return "\n".join(lines) + "\n" + ADVICE


def main(package: str = "qdeploy") -> int:
    """Print every circle of the package; 1 if there is one, else 0."""
    sys.path.insert(0, str(ROOT))
    graph = grimp.build_graph(package, cache_dir=None)
    found = circles(graph)
    for circle in found:
        print(report(graph, circle), end="", file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
