"""Many methods in many environments, each at a weight that one rule chooses, on seeds of their own."""
