"""Hardware simulators: one module or folder each, with its parameter space and workloads."""
