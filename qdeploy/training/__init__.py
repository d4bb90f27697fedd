"""Phases, schedules, the Lipschitz term, checkpoints."""
