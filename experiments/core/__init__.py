"""Code for every kind of work: settings, files, wording, progress, devices."""
