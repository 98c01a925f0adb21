"""The surface of MLC-LLM that has this name."""
