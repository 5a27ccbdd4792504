"""The query language against SQLite over the same rows."""
import os

import query_random
import query_sqlite


def check_sqlite(folder, wreg):
    assert query_sqlite.main() == 0, "answers differ from SQLite's"


def check_random(folder, wreg):
    assert query_random.run(os.environ.get("WREG", "wreg"), folder) == 0, "answers differ from SQLite's"
