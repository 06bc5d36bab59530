"""Hostile inputs, thousands to every reader of files and replies: one line or a right answer."""
