"""Code that makes many runs fast: lanes, devices, segments, sweeps, compilation."""
