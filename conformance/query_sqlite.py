#!/usr/bin/env python3
"""Compares the answers of query/testdata/cases.txt with SQLite's.

Every case with an sql line is asked of SQLite over the rows of
query/testdata/tensors.json (what `find * in * select *` shows), in a table t with a
column m for the model's name. Rows are compared in order where the query orders or
groups, else as they come. Exit 0: all equal, 1: differences, 2: trouble.
"""
import json
import pathlib
import sqlite3
import sys

HERE = pathlib.Path(__file__).resolve().parent.parent / "query" / "testdata"


def table():
    data = json.loads((HERE / "tensors.json").read_text())
    db = sqlite3.connect(":memory:")
    db.execute("create table t (m, %s)" % ", ".join(data["columns"]))
    for row in data["rows"]:
        values = [json.dumps(v, separators=(",", ":")) if isinstance(v, list) else v for v in (row[c] for c in data["columns"])]
        db.execute("insert into t values (?%s)" % (", ?" * len(values)), [row["model"].split("@")[0], *values])
    return db


def cases():
    for block in (HERE / "cases.txt").read_text().split("\n> ")[1:]:
        lines = block.rstrip("\n").split("\n")
        sql = [l[5:] for l in lines if l.startswith("sql: ")]
        rows = [json.loads(l) for l in lines[1:] if l.startswith("[")]
        if sql:
            yield lines[0], sql[0], rows


def plain(row):
    return [json.dumps(v, separators=(",", ":")) if isinstance(v, list) else v + 0.0 if isinstance(v, (int, float)) and not isinstance(v, bool) else v for v in row]


def main():
    db, n, bad = table(), 0, 0
    for query, sql, want in cases():
        n += 1
        got = [plain(r) for r in db.execute(sql)]
        want = [plain(r) for r in want]
        if "order by" not in sql:
            got.sort(key=repr), want.sort(key=repr)
        if got != want:
            bad += 1
            print(f"{query}\n  sqlite {got[:5]}\n  wreg   {want[:5]}")
    print(f"{n} queries compared with SQLite {sqlite3.sqlite_version}, {bad} differ")
    return 1 if bad or n < 80 else 0


if __name__ == "__main__":
    sys.exit(main())
