"""Studies of many instances, part by part: computed, saved on disk, drawn and described."""
