"""Studies of many instances. Their parts are computed one by one, saved on disk, drawn and described."""
