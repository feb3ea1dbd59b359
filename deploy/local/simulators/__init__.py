"""The providers, rebuilt small: their APIs, their habits and their limits, on the loop's time."""
