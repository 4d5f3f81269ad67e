"""How good a model is, with a memory policy, on someone's data, after how many clicks."""
