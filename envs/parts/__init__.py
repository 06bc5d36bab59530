"""What environments are made of: processes, tables, texts, shared utilities."""
