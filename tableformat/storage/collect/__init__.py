"""Collection: finding what no version reaches and deleting it while others write (spec/collection.md).

paths.py       what lies where, by path                 reach.py       the objects that a version reaches
path_set.py    many paths in bounded memory             documents.py   plan, keep, sweep, done
collections.py the series of collections                watch.py       a writer's side of the protocol
guard.py       the backend of a writer                  collector.py   the collector's side
"""
