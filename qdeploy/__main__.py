"""`python -m qdeploy`, which is also what `torchrun -m qdeploy` starts."""

from qdeploy.cli.main import main

if __name__ == "__main__":
    main()
