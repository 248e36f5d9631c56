"""Second versions that differ little from the first: how many bytes they add. Bytes, not seconds, are the point."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

import tableformat
from benchmarks import data
from benchmarks.bench_media_write import write_rows
from benchmarks.harness import Goal, Job, Run, folder_bytes, main


def png_images(size: data.Size, folder: Path) -> Job:
    """Small images: what a pack says of each, about 210 bytes, is a tenth of them."""
    first = data.pngs(size.pngs)
    return _images("PNGs", first, data.pngs(max(1, size.pngs // 100), seed=7))


def jpeg_images(size: data.Size, folder: Path) -> Job:
    """Photographs."""
    first = data.jpegs(size.jpegs)
    return _images("JPEGs", first, data.jpegs(max(1, size.jpegs // 100), seed=7))


def _images(what: str, first: list[bytes], fresh: list[bytes]) -> Job:
    """1 % of the images replaced, and another order of the rows."""
    order = np.random.default_rng(8).permutation(len(first))
    second = [*fresh, *first[len(fresh) :]]
    second = [second[number] for number in order]
    labels = data.labels(len(first))
    changed = sum(map(len, fresh))

    def write_again(run: Run) -> None:
        url = str(run.folder)
        write_rows(url, first, labels)
        before, parts_before = folder_bytes(run.folder), folder_bytes(run.folder / "data", "*.parquet")
        with run.timed():
            write_rows(url, second, labels)
        added = folder_bytes(run.folder) - before
        parts = folder_bytes(run.folder / "data", "*.parquet") - parts_before
        run.counts.update(rows=len(second), bytes_added=added, bytes_of_parts=parts, bytes_changed=changed)
        run.counts["added_per_changed"] = (added - parts) / changed

    shown = f"{len(first):,} {what} written again with {len(fresh):,} replaced and other order"
    return Job(
        f"images-{what.lower()}",
        shown,
        {"write again": write_again},
        [Goal("write again", "added_per_changed", 1.1, "at most")],
    )


def one_row(size: data.Size, folder: Path) -> Job:
    """One row inserted into a table with a key, which is then written again whole."""
    table = data.keyed_table(size.keyed_rows)
    middle = size.keyed_rows // 2
    row = pa.table({"id": [2 * middle - 1], "name": ["the one between"], "value": [0.5]}, schema=data.KEYED_SCHEMA)
    longer = pa.concat_tables([table.slice(0, middle), row, table.slice(middle)])

    def write(url: str, rows: pa.Table) -> None:
        with (
            tableformat.open_store(url).draft("keyed") as draft,
            draft.table("items", schema=data.KEYED_SCHEMA, key="id") as writer,
        ):
            writer.extend(rows)

    def write_again(run: Run) -> None:
        url = str(run.folder)
        write(url, table)
        before, of_table = folder_bytes(run.folder), folder_bytes(run.folder / "data", "*.parquet")
        with run.timed():
            write(url, longer)
        added = folder_bytes(run.folder) - before
        run.counts.update(
            rows=longer.num_rows, bytes_added=added, bytes_of_table=of_table, added_percent=100 * added / of_table
        )

    what = f"one row inserted into {table.num_rows:,} with a key, written again whole"
    return Job("one-row", what, {"write again": write_again}, [Goal("write again", "added_percent", 3.0, "at most")])


JOBS = {"images-jpegs": jpeg_images, "images-pngs": png_images, "one-row": one_row}

if __name__ == "__main__":
    main("bench_dedup", JOBS)
