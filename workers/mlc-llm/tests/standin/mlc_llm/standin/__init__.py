"""What the stand-in does behind the names of MLC-LLM."""
