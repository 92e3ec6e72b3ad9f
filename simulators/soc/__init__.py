"""Systems on chip: run-time scheduling of task graphs, and the design of AR/VR SoCs."""
