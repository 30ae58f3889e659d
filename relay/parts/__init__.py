"""Parts of a cascade: speech detectors, transcribers, responders and synthesizers."""
