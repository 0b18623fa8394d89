"""One render: its parts, its steps, and the loop that runs them."""
