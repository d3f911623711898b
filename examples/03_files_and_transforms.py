"""Register two files, keep the transform and its inverse, and apply them to labels and landmarks.

python examples/03_files_and_transforms.py MODEL dataset.json runs/examples
"""

import sys
from pathlib import Path

import SimpleITK as sitk

import autoreg as ar


def main(model: Path, dataset_path: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    dataset = ar.load_dataset(dataset_path)
    fixed, moving = (dataset.entries[key] for key in dataset.pairs("test")[0])
    told = ar.register_files(
        model,
        fixed.image_path,
        moving.image_path,
        warped=folder / "warped.nii.gz",
        transform=folder / "field.nii.gz",
        inverse=folder / "inverse.h5",
    )
    print(told)

    # label maps come from the moving to the fixed image
    if moving.label_path:
        ar.apply_transform(folder / "field.nii.gz", moving.label_path, folder / "labels.nii.gz", labels=True)

    # landmarks go from the fixed to the moving image (and back by the inverse), in mm, RAS+
    (folder / "landmarks.csv").write_text("name,x,y,z\nmiddle,0,0,0\n")
    ar.apply_transform(folder / "field.nii.gz", folder / "landmarks.csv", folder / "in_moving.csv")
    ar.apply_transform(folder / "inverse.h5", folder / "in_moving.csv", folder / "back.csv")
    print((folder / "back.csv").read_text())

    # other programs read the same files
    field = sitk.DisplacementFieldTransform(sitk.ReadImage(str(folder / "field.nii.gz"), sitk.sitkVectorFloat64))
    fixed_image, moving_image = (sitk.ReadImage(str(side.image_path), sitk.sitkFloat32) for side in (fixed, moving))
    theirs = sitk.GetArrayFromImage(sitk.Resample(moving_image, fixed_image, field))
    ours = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "warped.nii.gz")))
    inside = (slice(4, -4),) * theirs.ndim  # what lies outside of the moving image is treated differently
    print(f"SimpleITK and AutoReg differ by {abs(theirs - ours)[inside].max():.4f} at most inside")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3] if len(sys.argv) > 3 else "runs/examples/files"))
