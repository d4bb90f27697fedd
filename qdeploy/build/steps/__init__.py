"""The steps of a build, one file per step; each adds its result to the build's state."""
