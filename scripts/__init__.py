"""One verb each; `ringroad VERB` calls them."""
