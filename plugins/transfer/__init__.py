"""Transfer: protocols on features of frozen networks."""
