"""Galleries: many explanations as one static site that opens without a server."""
