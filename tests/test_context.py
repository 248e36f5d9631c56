"""What the objects of one store share: opened once, made at the first write, pickled without secrets."""

import json

import pytest

from tableformat import open_store
from tableformat.context import StoreContext, live_versions
from tableformat.errors import ExistsError, NotFoundError, UnsupportedError
from tableformat.format.documents import encode_sealed
from tableformat.storage.names import parse_selection


def options():
    return {}


def commit(store, x):
    with store.draft("a") as draft:
        draft.add([{"x": x}], "t")
    return draft.committed


def test_ensure_makes_the_store_once(store_url):
    """The first write makes the marker, the next ones find it, and so do others who opened before."""
    one, two = (StoreContext.open(store_url, create=None) for _ in range(2))
    assert (one.marker, two.marker) == (None, None)
    assert one.ensure() == one.ensure() == two.ensure()
    assert StoreContext.open(store_url).marker == one.marker
    with pytest.raises(ExistsError):
        StoreContext.open(store_url, create=True)


def test_what_is_not_there_is_not_found(store_url):
    """Without leave to make it, a missing store is an error."""
    with pytest.raises(NotFoundError, match="create"):
        StoreContext.open(store_url)


@pytest.mark.parametrize(("given", "kept"), [(None, None), ({"key": "secret"}, None), (options, options)])
def test_only_functions_are_portable(given, kept):
    """Options that are values stay in this process; a function that gives them is found again by its name."""
    context = StoreContext(StoreContext.open("memory://portable", create=None).backend, None, options=given)
    assert context.portable_options is kept


def test_options_are_never_shown(store_url):
    """Neither the repr nor an error tells what was given to open the store."""
    store = open_store("memory://shown", storage_options={"canary": "s3cr3t-canary"})
    assert "s3cr3t" not in repr(store) + repr(store.context.backend) + str(store.context.backend.root)
    with pytest.raises(NotFoundError) as caught:
        store["a"]
    assert "s3cr3t" not in str(caught.value)


def test_selectors_resolve(store_url):
    """Numbers, aliases and `latest` lead to a version file; a digest to the newest slot that has it."""
    store = open_store(store_url)
    one, two = commit(store, 1), commit(store, 2)
    again = commit(store, 1)
    store.set_alias("a", "best", "v1")
    context = store.context
    assert again.digest == one.digest
    for text, slot in (("a", 2), ("a:v0", 0), ("a:best", 1)):
        assert context.resolve("a", parse_selection(text)[1]).slot == slot
    assert context.find_slot("a", one.digest).slot == 2
    assert context.find_slot("a", two.digest).slot == 1
    assert context.find_slot("a", "sha256:" + "0" * 64) is None
    assert [version.slot for version in live_versions(context, "a")] == [2, 1, 0]
    with pytest.raises(NotFoundError, match="best"):
        context.resolve("a", parse_selection("a:rest")[1])


def test_writers_are_stopped_where_a_feature_is_unknown(store_url):
    """A marker that asks writers for more stops `ensure`, by the name of the feature."""
    StoreContext.open(store_url, create=True)
    backend = StoreContext.open(store_url).backend
    document = json.loads(backend.read("tableformat.json"))
    del document["check"]
    document["requires"]["write"] = ["warp"]
    backend.put("tableformat.json", encode_sealed(document))
    with pytest.raises(UnsupportedError, match="warp"):
        StoreContext.open(store_url).ensure()
