"""Copies between stores: what a version reaches, moved once and verified on the way, and committed under the same digest.

reach.py    what a version reaches        versions.py  which versions are there, and how one is committed
objects.py  objects named by content      aliases.py   movable names
blobs.py    packs and large blobs         joins.py     versions that joined tables read
copy.py     the whole run
"""
