# Sourced by the other scripts: uniform messages.
say() { printf '%s\n' "==> $*"; }
tell() { printf '%s\n' "    $*"; }
warn() { printf '%s\n' "warning: $*" >&2; }
fail() { printf '%s\n' "error: $*" >&2; exit 1; }
