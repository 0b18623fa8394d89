"""Renders of many units: the units, their batches, memory limits, workers and the folder of pictures."""
