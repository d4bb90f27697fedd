"""`import qdeploy` names its functions and loads nothing."""

import subprocess
import sys

import pytest

import qdeploy

HEAVY = ("torch", "numpy", "brevitas", "onnx", "finn", "pydantic", "rich")


def test_import_loads_no_package_and_names_the_functions() -> None:
    code = f"import sys, qdeploy; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    for name in set(qdeploy.__all__) - {"__version__"}:
        assert name in dir(qdeploy)
        assert callable(getattr(qdeploy, name)) and getattr(qdeploy, name).__doc__


def test_errors_and_plugins_need_no_import_of_their_own() -> None:
    code = "import qdeploy; print(qdeploy.errors.UserError.exit_code, qdeploy.plugins.PREFIX)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "python:"]


def test_another_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="has no attribute `quantise`"):
        _ = qdeploy.quantise
