"""Frames, prompts, masks and simulated clicks. NumPy only: no torch, no Qt."""
