"""How fast ae_scratch is, beside this machine's limits and beside other libraries: ``python -m benchmarks --help``."""
