"""Programs: converted graphs as plain data, checked, saved and printed as modules."""

from converters.renamed import keep_old_contents

__getattr__ = keep_old_contents(__name__, "program")
