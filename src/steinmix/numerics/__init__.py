"""Pure functions on tensors and graphs: nothing here has state, knows a model or draws from a global generator."""
