"""Changes of stored tables: from an entry and its files to another entry, and the few new files that it takes.

One noun per file. Nothing here knows drafts: who stages the entry that comes out stands above.
"""
