"""The field's metrics."""
