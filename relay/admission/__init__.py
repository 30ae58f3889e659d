"""Decides who gets a place: accepting, newcomers, limits by address, descriptors."""
