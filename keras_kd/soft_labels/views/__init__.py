"""Which pixels a sample shows in a view, and whether they are the same each time."""
