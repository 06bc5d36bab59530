"""Many methods in many environments. One rule tunes each method, on other seeds than those that judge it."""
