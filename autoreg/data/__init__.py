"""Files, splits, pairs and volumes: all that stands between a folder of scans and a batch of tensors.

Import the modules one by one (`from autoreg.data.dataset import load_dataset`): nibabel, pyarrow and kornia
each live in a single module here, and none of them is needed for the others.
"""
