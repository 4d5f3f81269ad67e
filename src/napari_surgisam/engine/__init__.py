"""The promptable, memory-based segmentation engine."""
