"""Real model servers for trials: each in an environment of its own, from PyPI, on loopback."""
