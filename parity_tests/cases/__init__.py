"""Small graphs, one for each op and attribute, with values recorded from TensorFlow."""

from parity_tests.cases import images, layouts, ops, parts, sizes, values
from parity_tests.cases.base import CASES, INPUT, Case, CaseWriter

for module in (ops, layouts, parts, values, images, sizes):
    module.add()

__all__ = ["CASES", "INPUT", "Case", "CaseWriter"]
