"""An opened version: a mapping that never changes under its holder."""

import json

import pytest

from tableformat import Artifact, File, Image, open_store, read_table
from tableformat.errors import CorruptError, FormatError, NotFoundError, UsageError
from tableformat.format.documents import encode_sealed
from tableformat.storage.backend import open_backend
from tableformat.store import Store
from tableformat.testing.faults import FaultBackend
from tests.table.inline_placer import TINY_PNG

ROWS = [{"x": 1}, {"x": 2}]


@pytest.fixture
def store(store_url):
    return open_store(store_url)


def commit(store, name="a", **entries):
    with store.draft(name) as draft:
        for entry, obj in entries.items():
            draft.add(obj, entry)
    return draft.committed


def test_it_is_a_mapping(store):
    """Names in order, membership, length, `get` with a default, and the kind of each entry."""
    artifact = commit(store, t=ROWS, b=File(b"x"), img=Image(TINY_PNG))
    assert list(artifact) == ["b", "img", "t"]
    assert len(artifact) == 3
    assert "t" in artifact
    assert "u" not in artifact
    assert 3 not in artifact
    assert artifact.get("u") is None
    assert artifact.get("u", 5) == 5
    assert artifact.kinds() == {"b": "file", "img": "media", "t": "table"}
    assert artifact["b"].bytes() == b"x"


@pytest.mark.parametrize("name", ["tabel", "", 3, None, "a/b", "../t"])
def test_unknown_entries_name_the_nearest(store, name):
    """What is not there raises, which is a `KeyError` too, and tells what is."""
    artifact = commit(store, table=ROWS)
    with pytest.raises(NotFoundError, match="table") as caught:
        artifact[name]
    assert isinstance(caught.value, KeyError)


@pytest.mark.parametrize("legacy", ["t.table.json", "t.joined-table.json", "t.partitioned-table.json"])
def test_names_of_old_are_found(store, legacy):
    """An entry is found under the name it had in the system before, by `[]`, `get` and `in`."""
    artifact = commit(store, t=ROWS)
    assert len(artifact[legacy]) == 2
    assert artifact.get(legacy) is not None
    assert legacy in artifact
    with pytest.raises(NotFoundError):
        artifact["t.json"]


def test_it_stays_what_it_was(store):
    """Later versions, and moved aliases, change nothing for who holds one."""
    first = commit(store, t=ROWS)
    store.set_alias("a", "best")
    held = store["a:best"]
    second = commit(store, t=[{"x": 9}])
    store.set_alias("a", "best")
    assert [row["x"] for row in held["t"]] == [1, 2]
    assert (held, held.version) == (first, "v0")
    assert store["a:best"] == second != first


def test_opened_by_digest_it_is_one_request(store):
    """By digest the root is read and nothing else; slot, message and time are not known."""
    artifact = commit(store, t=ROWS)
    backend = FaultBackend(open_backend(store.root))
    context = store.context
    found = Store(type(context)(backend, context.marker))[f"a@{artifact.digest}"]
    assert [path for _, path in backend.calls] == [f"manifests/{artifact.digest.removeprefix('sha256:')}.json"]
    assert (found.slot, found.version, found.time, found.message, found.producer, found.inputs()) == (
        None,
        None,
        None,
        "",
        {},
        (),
    )
    assert (found, found.content_digest, len(found["t"])) == (artifact, artifact.content_digest, 2)


def test_equality_is_name_and_digest(store):
    """The same content under the same name is the same; the repr says which."""
    one = commit(store, "one", t=ROWS)
    assert one == store["one:v0"] == store[f"one@{one.digest}"]
    assert hash(one) == hash(store["one"])
    assert one != commit(store, "two", t=ROWS)
    assert one != "one"
    assert repr(one).startswith(f"<Artifact one:v0@{one.digest[:19]}")


def test_lineage_goes_both_ways(store):
    """A version knows what it was made from, and finds what was made from it."""
    source = commit(store, "source", t=ROWS)
    with store.draft("made") as draft:
        draft.use(source)
        draft.add(ROWS, "t")
    assert [one.artifact for one in draft.committed.inputs()] == ["source"]
    assert source.used_by() == [draft.committed]
    assert draft.committed.used_by() == []
    assert [(edge.output, edge.source.artifact) for edge in store.lineage("source")] == [("made:v0", "source")]
    assert store.lineage("source") == store.lineage("made")


def test_copies_of_metadata_are_the_callers(store):
    """Changing what a property gave changes nothing."""
    with store.draft("a", metadata={"k": [1]}, producer={"run": "r"}) as draft:
        draft.add(ROWS, "t")
    artifact = draft.committed
    artifact.metadata["k"].append(2)
    artifact.producer["run"] = "x"
    artifact.report["rows"] = 0
    assert (artifact.metadata, artifact.producer, artifact.report["rows"]) == ({"k": [1]}, {"run": "r"}, 2)


def test_two_thousand_entries(store):
    """Versions whose entries do not fit into their root are read a leaf at a time."""
    with store.draft("a") as draft:
        for number in range(2000):
            draft.add(File(str(number).encode()), f"f/{number:04}")
    artifact = open_store(store.root)["a"]
    assert (len(artifact), len(list(artifact)), artifact["f/1234"].bytes()) == (2000, 2000, b"1234")
    assert "f/2000" not in artifact


# What is damaged


def version_path(artifact):
    return f"artifacts/{artifact.name}/versions/{artifact.slot:020}.json"


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"null", b'{"kind":"version"}', b"\xff"])
def test_a_damaged_version_file_is_named(store, damage):
    """A version file that is none raises with its path."""
    artifact = commit(store, t=ROWS)
    store.context.backend.put(version_path(artifact), damage)
    with pytest.raises(FormatError, match=r"00000000000000000000\.json"):
        open_store(store.root)["a"]


def test_a_damaged_root_is_named(store):
    """A root of other bytes is never believed, whether it stands alone or inline."""
    artifact = commit(store, t=ROWS)
    path = f"manifests/{artifact.digest.removeprefix('sha256:')}.json"
    data = store.context.backend.read(path)
    store.context.backend.put(path, data.replace(b'"dataset"', b'"dataser"'))
    with pytest.raises(CorruptError, match="manifests/"):
        store[f"a@{artifact.digest}"]
    version = json.loads(store.context.backend.read(version_path(artifact)))
    del version["check"]
    version["inline"]["type"] = "datasex"
    store.context.backend.put(version_path(artifact), encode_sealed(version))
    with pytest.raises(FormatError):
        open_store(store.root)["a"]


def test_a_missing_part_is_named(store):
    """A part that is gone raises when it is read; the rest of the version opens."""
    artifact = commit(store, t=ROWS, f=File(b"x"))
    [part] = [found.path for found in store.context.backend.list("data") if found.path.endswith(".parquet")]
    store.context.backend.delete(part)
    again = open_store(store.root)["a"]
    assert again["f"].bytes() == b"x"
    with pytest.raises((NotFoundError, CorruptError), match=part.split("/")[-1][:20]):
        list(again["t"])
    assert artifact == again


# read_table


def test_tables_are_read_by_address(store):
    """A URL with a fragment names version and entry; a single table needs no name."""
    artifact = commit(store, t=ROWS)
    for tail in ("#a", "#a/t", "#a:v0/t", f"#a@{artifact.digest}/t", "#a:latest/t.table.json"):
        assert [row["x"] for row in read_table(store.root + tail)] == [1, 2]


@pytest.mark.parametrize(
    ("tail", "error"),
    [("#b/t", NotFoundError), ("#a:v4/t", NotFoundError), ("#a/u", NotFoundError), ("#a/f", UsageError), ("#a", UsageError), ("#", Exception), ("#a:/t", Exception)],
)  # fmt: skip
def test_addresses_that_name_no_table(store, tail, error):
    """An address of something else is an error that says what is there."""
    commit(store, t=ROWS, t2=ROWS, f=File(b"x"))
    with pytest.raises(error):
        read_table(store.root + tail)
    assert isinstance(store["a"], Artifact)
