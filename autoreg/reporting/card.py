"""How figures of test pairs are measured: what must be known to compare them with others."""

MEASURES = {
    "fixed side": "the first of each pair; the moving image and labels are warped onto its grid",
    "labels": "Dice and HD95 are means over the foreground labels of a pair, then over pairs, then over seeds; "
    "a label that the fixed or the moving map lacks is left out of its pair's mean, one that warping has lost has "
    "Dice 0 and no HD95; background (0) is not counted",
    "interpolation of labels": "nearest neighbour",
    "HD95": "the larger of both directed 95th percentiles of surface distances, in mm by the fixed image's spacing",
    "TRE": "where the data set names landmarks: distance from p + u(p), of a landmark p of the fixed image, to that of "
    "the moving image, in mm; mean over a pair's landmarks, then over pairs",
    "folds": "percent of inner voxels that fail the digital-diffeomorphism test: a one-sided corner determinant, "
    "or in 3-D that of a central tetrahedron, of x + u(x) is not positive",
    "SDlogJ": "standard deviation of log J where J > 0, J = det(I + du/dx) by central differences, inner voxels",
}
"""Heading -> what holds for every evaluation."""
