"""A store: found or made, its versions and aliases, and clear errors for what is none."""

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from tableformat import Store, open_store, read_table
from tableformat.errors import (
    ExistsError,
    IllegalNameError,
    InvalidInputError,
    NotAStoreError,
    NotFoundError,
    StorePermissionError,
    TableformatError,
    UnsupportedError,
    UsageError,
)
from tableformat.format.documents import encode_sealed

ROWS = [{"x": 1}]


def commit(store, name="a", x=1):
    with store.draft(name) as draft:
        draft.add([{"x": x}], "t")
    return draft.committed


# Opening


def test_reading_never_creates(store_url):
    """Opening, listing and looking up make nothing; the first commit does."""
    store = open_store(store_url)
    assert (store.artifacts(), list(store), store.id, "a" in store, store.get("a")) == ([], [], None, False, None)
    with pytest.raises(NotFoundError):
        store["a"]
    with pytest.raises(NotFoundError):
        open_store(store_url, create=False)
    commit(store)
    assert open_store(store_url, create=False).id == store.id is not None


def test_create_makes_it_at_once_and_once(store_url):
    """With `create=True` the store is there at once, and a second such call is refused."""
    store = open_store(store_url, create=True)
    assert len(store.id) == 32
    with pytest.raises(ExistsError, match="create=False"):
        open_store(store_url, create=True)
    assert open_store(store_url) == store


@pytest.mark.parametrize("create", [None, "yes", 2])
def test_other_words_for_create(tmp_path, create):
    """A `create` that is none of the three is refused."""
    with pytest.raises(InvalidInputError, match="create"):
        open_store(tmp_path, create=create)


def test_one_prefix_is_no_list(tmp_path):
    """`allow` given as a text would be a list of letters: refused, with what to write."""
    with pytest.raises(InvalidInputError, match=r"allow=\['s3://b/'\]"):
        open_store(tmp_path, allow="s3://b/")


@pytest.mark.parametrize("create", ["if_missing", True])
def test_other_peoples_folders_are_left_alone(tmp_path, create):
    """A folder that holds other things is no place for a store, and nothing is put there."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"x")
    with pytest.raises(NotAStoreError, match=r"a\.jpg"):
        open_store(tmp_path, create=create)
    assert sorted(os.listdir(tmp_path)) == ["photos"]


def test_a_file_is_no_store(tmp_path):
    """A URL that leads to a file is an error of ours, and the file stays as it is."""
    path = tmp_path / "file"
    path.write_bytes(b"x")
    with pytest.raises(TableformatError):
        store = open_store(path)
        commit(store)
    assert path.read_bytes() == b"x"


@pytest.mark.parametrize(
    ("marker", "error", "said"),
    [
        ({"version": 2}, UnsupportedError, "2"), ({"requires": {"read": ["warp"], "write": []}}, UnsupportedError, "warp"),
        ({"format": "other"}, NotAStoreError, "other"), ({"store": "xyz"}, TableformatError, "store"), (None, TableformatError, "tableformat.json"),
    ],
)  # fmt: skip
def test_other_markers_are_refused(store_url, marker, error, said):
    """A newer format, an unknown required feature or no marker at all stops the opening, by name."""
    store = open_store(store_url, create=True)
    document = json.loads(store.context.backend.read("tableformat.json"))
    del document["check"]
    data = b"{" if marker is None else encode_sealed({**document, **marker})
    store.context.backend.put("tableformat.json", data)
    for create in ("if_missing", False):
        with pytest.raises(error, match=said):
            open_store(store_url, create=create)


def test_features_for_writers_stop_writers_only(store_url):
    """A feature that writers must know lets readers in, and stops a draft before it stores anything."""
    store = open_store(store_url)
    commit(store)
    document = json.loads(store.context.backend.read("tableformat.json"))
    del document["check"]
    document["requires"]["write"] = ["warp"]
    store.context.backend.put("tableformat.json", encode_sealed(document))
    again = open_store(store_url)
    assert len(again["a"]["t"]) == 1
    before = sorted(found.path for found in again.context.backend.list(""))
    for write in (lambda: commit(again, x=2), lambda: again.set_alias("a", "best")):
        with pytest.raises(UnsupportedError, match="warp"):
            write()
    assert sorted(found.path for found in again.context.backend.list("")) == before


# Versions and aliases


def test_every_way_to_name_a_version(store_url):
    """Newest, number, alias, `latest` and digest; each resolves to what it says."""
    store = open_store(store_url)
    one, two = commit(store, x=1), commit(store, x=2)
    store.set_alias("a", "best", "v0")
    assert (store["a"], store["a:latest"], store["a:v1"]) == (two, two, two)
    assert (store["a:v0"], store["a:best"], store[f"a@{one.digest}"]) == (one, one, one)
    assert [version.slot for version in store.versions("a")] == [0, 1]


@pytest.mark.parametrize("selection", ["b", "a:v2", "a:nope", "a@sha256:" + "0" * 64, "b:v0"])
def test_unknown_versions(store_url, selection):
    """What is not there raises `NotFoundError`, is not `in` the store, and `get` gives the default."""
    store = open_store(store_url)
    commit(store)
    with pytest.raises(NotFoundError):
        store[selection]
    assert selection not in store
    assert store.get(selection, 5) == 5


@pytest.mark.parametrize(
    "selection",
    ["", ":", "a:", "a@", "a@md5:1", "../a", "a/b", "a\x00", "/a", "A" * 129, "-a", "a.", "con", "a:v0:v1", "latest"],
)
def test_illegal_selections(store_url, selection):
    """Text that is none of the forms is refused by every call that takes one, and nothing is made."""
    store = open_store(store_url)
    with pytest.raises(IllegalNameError):
        store[selection]
    assert selection not in store
    with pytest.raises(IllegalNameError):
        store.draft(selection)
    with pytest.raises(IllegalNameError):
        store.versions(selection)
    assert list(store.context.backend.list("")) == []


@pytest.mark.parametrize("selection", [3, None, b"a", ("a",)])
def test_selections_are_texts(store_url, selection):
    """Other objects are refused, and are not in the store."""
    store = open_store(store_url)
    with pytest.raises(InvalidInputError, match="text"):
        store[selection]
    assert selection not in store


def test_an_unknown_artifact_names_the_nearest(store_url):
    """A name with a slip tells what was probably meant."""
    store = open_store(store_url)
    commit(store, "animals")
    for call in (lambda: store["animal"], lambda: store.versions("animal")):
        with pytest.raises(NotFoundError, match="animals"):
            call()


def test_aliases_move_and_go(store_url):
    """An alias is set, moved, listed and removed; the last word counts."""
    store = open_store(store_url)
    one, two = commit(store, x=1), commit(store, x=2)
    store.set_alias("a", "best", "v0")
    store.set_alias("a", "Prod", one)
    store.set_alias("a", "best")
    assert store.aliases("a") == {"best": "v1", "Prod": "v0"}
    store.set_alias("a", "best", "Prod")
    assert (store["a:best"], store["a:Prod"]) == (one, one)
    store.remove_alias("a", "best")
    assert store.aliases("a") == {"Prod": "v0"}
    with pytest.raises(NotFoundError, match="Prod"):
        store["a:best"]
    with pytest.raises(NotFoundError):
        store.remove_alias("a", "best")
    store.set_alias("a", "best", two)
    assert store["a:best"] == two


@pytest.mark.parametrize("alias", ["latest", "v1", "v0007", "", "a/b", "..", "x" * 129])
def test_illegal_aliases(store_url, alias):
    """Names that are taken by versions, or illegal, are no aliases."""
    store = open_store(store_url)
    commit(store)
    with pytest.raises(IllegalNameError):
        store.set_alias("a", alias)
    assert store.aliases("a") == {}


def test_aliases_name_versions_that_are_there(store_url):
    """An alias of nothing, or of another artifact's version, is refused."""
    store = open_store(store_url)
    commit(store)
    for version in ("v3", "nope"):
        with pytest.raises(NotFoundError):
            store.set_alias("a", "best", version)
    with pytest.raises(NotFoundError):
        store.set_alias("b", "best")
    with pytest.raises(UsageError):
        store.set_alias("a", "best", commit(store, "b"))
    with pytest.raises(UsageError):
        store.set_alias("a", "best", store[f"a@{store['a'].digest}"])
    assert store.aliases("a") == {}


def test_names_that_differ_by_case_are_different(store_url):
    """Artifacts and aliases keep the case of their letters on every file system."""
    store = open_store(store_url)
    commit(store, "Set", x=1)
    commit(store, "set", x=2)
    assert store.artifacts() == ["Set", "set"]
    assert ([row["x"] for row in store["Set"]["t"]], [row["x"] for row in store["set"]["t"]]) == ([1], [2])


def test_foreign_files_beside_artifacts_are_passed_over(tmp_path):
    """A folder that is not ours, such as a mount leaves behind, is no artifact."""
    store = open_store(tmp_path / "store")
    commit(store)
    for name in ("UPPER", "lost+found", "b"):
        (tmp_path / "store" / "artifacts" / name / "versions").mkdir(parents=True)
    assert store.artifacts() == ["a"]


# Where a store cannot be


def write_as_nobody(root, answers):
    """In a fork: give up all rights, then read and write."""
    os.setegid(65534)
    os.seteuid(65534)
    try:
        store = open_store(root)
        answers.put(len(store["a"]["t"]))
        commit(store, x=2)
    except StorePermissionError as error:
        answers.put(f"refused: {error}")
    except BaseException as error:
        answers.put(repr(error))


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="needs rights that it can give up")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize(("mode", "reads"), [(0o555, True), (0o000, False)])
def test_a_folder_without_permission(mode, reads):
    """Where we may not write the error is ours and says so; what was there can still be read where reading is allowed."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        root = Path(folder, "store")
        store = open_store(root)
        commit(store)
        for path in (root, *root.rglob("*")):
            if path.is_dir():
                path.chmod(0o555)
        before = sorted(root.rglob("*"))
        root.chmod(mode)
        context = multiprocessing.get_context("fork")
        answers = context.Queue()
        child = context.Process(target=write_as_nobody, args=(str(root), answers))
        child.start()
        said = [answers.get(timeout=30) for _ in range(1 + reads)]
        child.join(30)
        root.chmod(0o755)
        assert said[:-1] == [1] * reads
        assert said[-1].startswith("refused: ")
        assert sorted(root.rglob("*")) == before
        assert len(store.versions("a")) == 1


def test_a_full_disk(tmp_path):
    """Where files may not grow the commit fails with `StoreFullError` or another error of ours, and shows nothing; later
    all is well."""
    script = """
        import resource, signal, sys, tableformat
        from tableformat.errors import BackendError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        store = tableformat.open_store(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        try:
            with store.draft("a") as draft:
                draft.add([{"f": tableformat.File(bytes(range(256)) * 4000)}], "t")
        except BackendError as error:
            print("refused", error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print(store.artifacts())
        with store.draft("a") as draft:
            draft.add([{"f": tableformat.File(bytes(range(256)) * 4000)}], "t")
        print(store["a"].version, len(store["a"]["t"][0]["f"].bytes()))
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script), str(tmp_path / "store")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("refused")
    assert done.stdout.splitlines()[1:] == ["[]", "v0 1024000"]
    assert done.stderr == ""


def test_stores_are_equal_by_place(store_url):
    """Two handles on one place are equal; the repr names it."""
    assert open_store(store_url) == open_store(store_url)
    assert hash(open_store(store_url)) == hash(open_store(store_url))
    assert isinstance(open_store(store_url), Store)
    assert repr(open_store(store_url)) == f"<Store {open_store(store_url).root}>"


def test_a_whole_store_is_no_table(store_url):
    """The root of a store is refused by name, though there are Parquet files below it."""
    store = open_store(store_url)
    with store.draft("a") as draft:
        draft.add([{"x": 1}], "t")
    with pytest.raises(UsageError, match="a whole store"):
        read_table(store.root)
