"""Code for endpoints; it needs the optional extra `llm`."""
