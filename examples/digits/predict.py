"""Build a dataset, train on it, log predictions, read them back and compare: `python examples/digits/predict.py [STORE]`.

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
DIGITS = tableformat.Classes({digit: str(digit) for digit in range(10)})


def build(store: tableformat.Store) -> tableformat.Artifact:
    """A version of the artifact `digits`: 600 images with their class, cut into a part to train on and a part to test on."""
    schema = {"id": pa.int64(), "image": tableformat.ImageType(), "label": tableformat.ClassType(DIGITS)}
    with store.draft("digits", type="dataset", metadata={"source": "UCI optdigits"}) as draft:
        draft.add(DIGITS, "classes")
        with draft.table("train", schema, key="id") as train, draft.table("test", schema, key="id") as test:
            for path in sorted(IMAGES.glob("*/*.png")):
                number = int(path.stem)
                table = test if number % 5 == 0 else train
                table.append(id=number, image=tableformat.Image(path), label=int(path.parent.name))
    return draft.committed


def train_model(train: tableformat.Table) -> np.ndarray:
    """The mean image of each digit, 10 × 8 × 8, from a pass over the rows of `train`."""
    sums, counts = np.zeros((10, 8, 8)), np.zeros(10)
    for row in train:
        sums[row["label"]] += row["image"].to_numpy()
        counts[row["label"]] += 1
    return sums / counts[:, None, None]


def predict(store: tableformat.Store, digits: tableformat.Artifact, model: np.ndarray) -> tableformat.Artifact:
    """A version of the artifact `predictions`: for each test image its class and a score for every digit. Rows carry the
    images themselves; the store has their bytes, so none are stored again."""
    schema = {
        "id": pa.int64(),
        "image": tableformat.ImageType(),
        "guess": tableformat.ClassType(DIGITS),
        "scores": tableformat.TensorType(pa.float32(), (10,)),
    }
    with store.draft(
        "predictions", type="predictions", producer={"run": "nearest-mean", "job_type": "evaluate"}
    ) as draft:
        draft.use(digits)
        with draft.table("test", schema, key="id") as table:
            for row in digits["test"]:
                nearness = -np.abs(row["image"].to_numpy() - model).mean(axis=(1, 2)) / 255
                table.append(
                    id=row["id"], image=row["image"], guess=int(nearness.argmax()), scores=nearness.astype(np.float32)
                )
    return draft.committed


def compare(store: tableformat.Store) -> None:
    """Read both artifacts back as somebody else would, and say how well the model did."""
    predictions = store["predictions"]
    [source] = predictions.inputs()
    truth = store[f"{source.artifact}@{source.digest}"]["test"]
    labels = {row["id"]: row["label"] for row in truth.select("id", "label")}
    wrong = [row for row in predictions["test"] if row["guess"] != labels[row["id"]]]
    print(f"{len(labels) - len(wrong)} of {len(labels)} right")
    confused = Counter((labels[row["id"]], row["guess"]) for row in wrong)
    for (label, guess), count in sorted(confused.items(), key=lambda item: (-item[1], item[0]))[:3]:
        print(f"{count} × a {DIGITS.name_of(label)} taken for a {DIGITS.name_of(guess)}")
    print("one of them:", wrong[0]["id"], wrong[0]["image"], "scores", wrong[0]["scores"].round(2))


def main(url: str) -> None:
    """All of it."""
    store = tableformat.open_store(url)
    digits = build(store)
    predictions = predict(store, digits, train_model(digits["train"]))
    print(digits)
    print(predictions)
    compare(store)
    print("made from", *(f"{used.artifact}:v{used.slot}" for used in predictions.inputs()))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(folder)
