"""Every kind of file that qdeploy and the driver of a package read."""

from __future__ import annotations

import damaged_builds
import damaged_data
import damaged_packages
import damaged_runs
import damaged_verify

KINDS = (
    *damaged_builds.KINDS,
    *damaged_data.KINDS,
    *damaged_runs.KINDS,
    *damaged_packages.KINDS,
    *damaged_verify.KINDS,
)
