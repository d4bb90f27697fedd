"""`qdeploy recipes`: the recipes that come with qdeploy."""

from __future__ import annotations

import json

import click


@click.command()
@click.argument("part", default="")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def recipes(part: str, as_json: bool) -> None:
    """List the recipes that come with qdeploy, or those with PART in their name.

    `qdeploy train` and `qdeploy estimate` take their names.
    """
    from qdeploy.recipe.loading import load_recipe
    from qdeploy.recipe.shipped import shipped_recipes

    found = [(one, load_recipe(one.path)) for one in shipped_recipes() if part in one.name]
    if as_json:
        facts = [
            {
                "name": one.name,
                "file": str(one.path),
                "network": recipe.network.type,
                "data": recipe.data.name,
                "weight_bits": recipe.quantization.weight_bits,
                "activation_bits": recipe.quantization.activation_bits,
                "title": one.title,
            }
            for one, recipe in found
        ]
        click.echo(json.dumps(facts, indent=2))
        return
    from rich.console import Console

    from qdeploy.report.tables import print_table

    rows = [
        (
            one.name,
            recipe.network.type,
            recipe.data.name,
            f"W{recipe.quantization.weight_bits}A{recipe.quantization.activation_bits}",
        )
        for one, recipe in found
    ]
    print_table("Recipes", ("recipe", "network", "data", "bits"), rows, console=Console())
