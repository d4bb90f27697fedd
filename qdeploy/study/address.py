"""The address of a trial: what decides its weights, so that nothing is trained twice.

    address = SHA-256 of (recipe, data, NUMBERS)

The recipe is resolved, without its name; the data are those that were read (`fingerprint`).
`NUMBERS` is raised with each change of qdeploy that trains other weights from the same recipe and
data: results of before are then kept, and not used. Every result also records the version and the
revision of qdeploy that made it.
"""

from __future__ import annotations

import hashlib
import json

from qdeploy.recipe.models import Recipe
from qdeploy.training.run import recipe_digest

NUMBERS = 2
ANY_NAME = "trial"


def address(recipe: Recipe, data: str) -> str:
    """Hex digits; two trials with equal ones have equal weights.

    Args:
        recipe: named `ANY_NAME`.
        data: fingerprint.
    """
    text = json.dumps([recipe_digest(recipe), data, NUMBERS])
    return hashlib.sha256(text.encode()).hexdigest()[:32]
