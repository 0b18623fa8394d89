"""From a graph to a program: constants are evaluated, every other op becomes a layer."""
