"""How results are kept, printed, drawn and written into the page."""
