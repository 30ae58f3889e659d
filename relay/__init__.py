"""A voice gateway between people and a realtime voice model."""
