"""The main job: every claim, with figures, tables and one page to read."""
