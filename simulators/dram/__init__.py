"""A cycle-accurate model of a DRAM memory controller and of the memory behind it."""
