"""Numerics that several rooms share: precision, intervals, memory, data read as they are needed."""
