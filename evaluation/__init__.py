"""Steps -> numbers -> pages."""
