"""Recordings of the published experiments, and their replay."""
