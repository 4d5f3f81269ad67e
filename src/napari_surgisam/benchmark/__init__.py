"""How fast and how frugal the engine is, beside the official predictor."""
