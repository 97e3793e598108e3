"""Files that people write: read strictly, turned into kinds, and told what is wrong with them."""
