"""What builds are for: one folder per target."""
