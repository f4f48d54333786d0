"""vidgen's tests: through the front door, with small real fakes."""
