"""Build a dataset, train on it, log predictions, read them back: `python examples/digits/predict.py [STORE]`.

The model is the simplest that learns: the mean image of each digit; a new image is the digit whose mean is nearest.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa

import tableformat

IMAGES = Path(__file__).with_name("images")


def build(store: tableformat.Store) -> None:
    """A version of the artifact `digits`: 600 images with their class, cut into a part to train on and a part to test on."""
    names = tableformat.Classes({digit: str(digit) for digit in range(10)})
    schema = {"id": pa.int64(), "image": tableformat.ImageType(), "label": tableformat.ClassType(names)}
    with store.draft("digits", type="dataset", metadata={"source": "UCI optdigits"}) as draft:
        draft.add(names, "classes")
        with (
            draft.table("train", schema=schema, key="id") as train,
            draft.table("test", schema=schema, key="id") as test,
        ):
            for path in sorted(IMAGES.glob("*/*.png")):
                number = int(path.stem)
                table = test if number % 5 == 0 else train
                table.append(id=number, image=tableformat.Image(path), label=int(path.parent.name))


def train_model(store: tableformat.Store) -> dict[int, np.ndarray]:
    """The mean image of each digit, from the newest version of `digits`."""
    images: dict[int, list[np.ndarray]] = {digit: [] for digit in range(10)}
    for row in store["digits"]["train"]:
        images[row["label"]].append(row["image"].to_numpy().astype(np.float32))
    return {digit: np.mean(seen, axis=0) for digit, seen in images.items()}


def predict(store: tableformat.Store, model: dict[int, np.ndarray]) -> None:
    """A version of the artifact `predictions`: one row for each test image, the image itself stored once in the store."""
    digits = store["digits"]
    with store.draft(
        "predictions", type="predictions", producer={"run": "nearest-mean", "job_type": "evaluate"}
    ) as draft:
        draft.use(digits)
        with draft.table("test", key="id") as table:
            for row in digits["test"]:
                distances = np.array(
                    [np.abs(row["image"].to_numpy() - mean).mean() for mean in model.values()], np.float32
                )
                table.append(
                    id=row["id"],
                    image=row["image"],
                    truth=row["label"],
                    guess=int(distances.argmin()),
                    distances=distances,
                )


def main(url: str) -> None:
    """All of it, and what came out."""
    store = tableformat.open_store(url)
    build(store)
    predict(store, train_model(store))

    table = store["predictions"]["test"]
    right = sum(row["truth"] == row["guess"] for row in table.select("truth", "guess"))
    print(f"{right} of {len(table)} right")
    wrong = Counter((row["truth"], row["guess"]) for row in table if row["truth"] != row["guess"])
    for (truth, guess), count in sorted(wrong.items(), key=lambda item: (-item[1], item[0]))[:3]:
        print(f"{count} × a {truth} taken for a {guess}")
    print("made from", *(f"{used.artifact} ({used.digest[:15]}…)" for used in store["predictions"].inputs()))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(folder)
