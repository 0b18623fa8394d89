"""Programs: converted graphs as plain data. They are validated, saved, and written as standalone modules."""

from converters.renamed import keep_old_contents

__getattr__ = keep_old_contents(__name__, "program")
