"""The functions of `import qdeploy`, one file for each; `qdeploy/__init__.py` names them."""
