"""Models that learn what a simulator computes, in a fraction of its time."""
