"""Data that ships with the package: technologies, address maps, workloads and runs."""
