"""The query language against SQLite over the same rows."""
import query_sqlite


def check_sqlite(folder, wreg):
    assert query_sqlite.main() == 0, "answers differ from SQLite's"
