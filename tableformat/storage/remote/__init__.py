"""Stores that are not folders of this machine: the only part of the library that knows fsspec, and the clients under it."""
