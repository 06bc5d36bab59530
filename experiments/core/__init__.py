"""What every kind of work needs: settings, files, words, progress, devices."""
