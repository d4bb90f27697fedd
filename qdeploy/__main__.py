"""`python -m qdeploy`, which is also what `torchrun -m qdeploy` starts."""

from qdeploy.cli.start import main

if __name__ == "__main__":
    main()
