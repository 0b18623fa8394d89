"""Files that an earlier version of the package wrote, and tests that they load and give the same numbers.

`make_fixtures` wrote them, `cases` defines their contents, and `fixtures` compares.
"""
