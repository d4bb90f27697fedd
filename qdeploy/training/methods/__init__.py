"""What a phase may do besides gradient descent, one file per method."""
