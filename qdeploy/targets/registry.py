"""The targets by name: qdeploy's own, and those of other packages.

[project.entry-points."qdeploy.targets"]
text = "my_package.text:TARGET"      # an instance of qdeploy.targets.target.Target
"""

from __future__ import annotations

from qdeploy.registry import Registry
from qdeploy.targets.target import Target

TARGETS: Registry[Target] = Registry(
    "target",
    "qdeploy.targets",
    Target,
    {
        "pynq": "qdeploy.targets.pynq.target:TARGET",
        "ip": "qdeploy.targets.ip.target:TARGET",
        "c": "qdeploy.targets.c.target:TARGET",
    },
)
