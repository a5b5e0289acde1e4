"""Part of Epochwatch."""
