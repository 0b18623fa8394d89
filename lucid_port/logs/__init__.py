"""Models in TensorBoard: the graph, histograms of weights and activations, and pictures in the projector."""

from lucid_port.logs.embedding import log_embedding
from lucid_port.logs.graph import graph_of, log_graph
from lucid_port.logs.histograms import log_activations, log_weights

__all__ = ["graph_of", "log_activations", "log_embedding", "log_graph", "log_weights"]
