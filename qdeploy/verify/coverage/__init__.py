"""Which single faults of a network would have changed a code that a rung observed."""
