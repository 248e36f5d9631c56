"""The grammar of paths in a store."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tableformat.errors import IllegalNameError
from tableformat.storage.interface import MAX_PATH_BYTES, check_path
from tableformat.storage.names import encode_name
from tableformat.storage.series import slot_name


@pytest.mark.parametrize(
    "path", ["tableformat.json", "data/packs/ab/x.zip", "a/.tmp-1-2", "a b/c=d/...", "artifacts/!a/hint.json"]
)
def test_good_paths(path):
    """Paths of the layout, and of the folders of others, are taken as they stand."""
    assert check_path(path) == path


def test_longest_path_of_ours():
    """The longest path that the layout can make is within the bound."""
    longest = encode_name("A" * 127)
    assert len(longest) == 254
    assert len(check_path(f"artifacts/{longest}/aliases/{longest}/{slot_name(0)}")) <= MAX_PATH_BYTES


@given(st.text(max_size=40))
def test_any_text_is_a_path_below_the_root_or_refused(text):
    """Any text is refused or stays below the root, in ASCII, without empty segments."""
    try:
        path = check_path(text)
    except IllegalNameError:
        return
    assert path.isascii()
    assert path.isprintable()
    assert not {"", ".", ".."} & set(path.split("/"))
