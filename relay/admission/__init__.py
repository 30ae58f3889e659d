"""Who gets a place: accepting, connections without a token yet, limits by address, descriptors."""
