"""What talks to endpoints, and needs the optional extra `llm`."""
