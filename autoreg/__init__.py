"""AutoReg: search, train and compare deformable registration models.

Parts are imported by name (`autoreg.experiment`, `autoreg.networks`, ...), so that the numerical core needs torch and
numpy alone.
"""

__version__ = "0.1.0"
