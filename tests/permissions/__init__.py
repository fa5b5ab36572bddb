"""Every grant of the templates is needed, and its lack is seen."""
