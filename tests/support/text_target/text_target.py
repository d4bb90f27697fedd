"""A target of another package: the integer graph as one text file.

The folder is what pip would install: with it on `sys.path`, qdeploy finds the target by its entry
point. It has no hardware: no board, no folding, no simulation, no ladder.
"""

from __future__ import annotations

from qdeploy.build_folder import PACKAGE_FOLDER
from qdeploy.targets.finished import FinishedBuild
from qdeploy.targets.target import Target


class TextTarget(Target):
    """One line per node."""

    name = "text"
    steps = ("lower", "package", "record")

    def package(self, build: FinishedBuild) -> str:
        lines = [
            f"{type(node).__name__} {', '.join(node.inputs)} -> {node.output}"
            for node in build.graph.nodes
        ]
        path = build.folder / PACKAGE_FOLDER / "graph.txt"
        path.parent.mkdir()
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return f"{len(lines)} lines"


TARGET = TextTarget()
