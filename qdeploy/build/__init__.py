"""A build: from a trained run or a file to a verified package, step by step, in one folder."""
