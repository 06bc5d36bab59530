"""Studies of many instances, part by part: what is computed of each, kept on disk, drawn and said."""
