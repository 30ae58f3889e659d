"""Live calls: seats, the two directions, the one teardown; vendor-free."""
