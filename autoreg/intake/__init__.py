"""From a folder of files as it came to a data set: what is what, who is in which split, and one common grid."""
