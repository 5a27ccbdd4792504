"""Questions over 1,003,520 tensors: 160 models x 64 layers x (16 experts x 3 projections x 2 + 2)."""
import hashlib
import os
import re
import sqlite3
import subprocess
import sys
import time

import duckdb

from run import WREG, best, line, run

ROWS = "model, path, layer, expert, dtype, bytes, hash"
# What query's BenchmarkMillion asks, and the same in SQL.
WORDS = {
    "count": "find **.experts.*.up_proj.weight in * where layer < 8 select count()",
    "having": "find experts.*.up_proj.weight in m007 group by layer select layer, count() having count() != 15",
    "duplicates": "find * in * group by hash select hash, count() having count() > 1",
    "sum": "find * in * group by dtype, expert select dtype, expert, sum(bytes)",
}
SQL = {
    "count": "select count(*) from t where path like '%.experts.%.up_proj.weight' and layer < 8",
    "having": "select layer, count(*) from t where model = 'm007' and path like '%experts.%.up_proj.weight' group by layer having count(*) != 15",
    "duplicates": "select hash, count(*) from t group by hash having count(*) > 1",
    "sum": "select dtype, expert, sum(bytes) from t group by dtype, expert",
}


def rows():
    """The rows of query's BenchmarkMillion, with its rule for hashes."""
    n = 0
    for m in range(160):
        model = f"m{m:03d}"
        def row(path, layer, expert, dtype, size):
            nonlocal n
            n += 1
            seed = n // 200 if n % 100 == 0 else n << 8
            return model, path, layer, expert, dtype, size, hashlib.sha256(seed.to_bytes(8, "little")).digest()
        for layer in range(64):
            for expert in range(16):
                for p in ("gate", "up", "down"):
                    at = f"model.layers.{layer}.mlp.experts.{expert}.{p}_proj."
                    yield row(at + "weight", layer, expert, "bf16", 96 * 64 * 2)
                    yield row(at + "bias", layer, expert, "f32", 96 * 4)
            yield row(f"model.layers.{layer}.input_layernorm.weight", layer, None, "f32", 64 * 4)
            yield row(f"model.layers.{layer}.self_attn.q_proj.weight", layer, None, "bf16", 64 * 64 * 2)


def databases(folder):
    lite, duck = f"{folder}/t.sqlite", f"{folder}/t.duckdb"
    if not os.path.exists(lite):
        db = sqlite3.connect(lite)
        db.execute("create table t (model text, path text, layer int, expert int, dtype text, bytes int, hash blob)")
        db.executemany("insert into t values (?, ?, ?, ?, ?, ?, ?)", rows())
        for index in ("model, layer", "hash", "layer, path", "dtype, expert, bytes"):
            db.execute(f"create index \"{index}\" on t ({index})")
        db.execute("analyze")
        db.commit()
        db.close()
    if not os.path.exists(duck):
        import numpy as np
        cols = list(zip(*rows()))
        db = duckdb.connect()
        db.execute(f"attach '{duck}' as d (storage_version 'v1.4.0')")  # so that the command line client reads it too
        t = {"model": np.array(cols[0], dtype=object), "path": np.array(cols[1], dtype=object), "layer": np.array(cols[2], dtype=np.int32),
             "expert": np.array([-1 if e is None else e for e in cols[3]], dtype=np.int32), "dtype": np.array(cols[4], dtype=object),
             "bytes": np.array(cols[5], dtype=np.int64), "hash": np.array([h.hex() for h in cols[6]], dtype=object)}
        db.execute("create table d.t as select model, path, layer, nullif(expert, -1) expert, dtype, bytes, unhex(hash) hash from t")
        db.execute("checkpoint d")
        db.close()
    return lite, duck


def clock(fn, times):
    fn()
    found = []
    for _ in range(times):
        start = time.perf_counter()
        fn()
        found.append(time.perf_counter() - start)
    return min(found) * 1e3


def go_bench(name, env=None):
    """Milliseconds of each part of a benchmark of package query."""
    out = subprocess.run(["go", "test", "./query", "-run", "^$", "-bench", f"^{name}$"], check=True, text=True, capture_output=True,
                         env=dict(os.environ, **(env or {}))).stdout
    return {m[1]: float(m[2]) / 1e6 for m in re.finditer(name + r"/(\S+?)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op", out)}


def bench_million(folder):
    """query: in process, over 1,003,520 tensors, against SQLite (indexed) and DuckDB over the same rows"""
    lite, duck = databases(folder)
    ours = f"{folder}/million.db"
    wreg = go_bench("BenchmarkMillion", {"WREG_BENCH_REGISTRY": ours})
    a, b = sqlite3.connect(lite), duckdb.connect(duck, read_only=True)
    for name, sql in SQL.items():
        s, d = clock(lambda: a.execute(sql).fetchall(), 3), clock(lambda: b.execute(sql).fetchall(), 7)
        print(f"{name:12} wreg {wreg[name]:8.2f} ms   SQLite {s:8.1f} ms = {s / wreg[name]:7.1f}x   DuckDB {d:8.2f} ms = {d / wreg[name]:6.2f}x   goal 10x, 1x")
    a.close()
    b.close()
    size, theirs = os.path.getsize(ours), os.path.getsize(lite)
    print(f"file: wreg {size >> 20} MiB, SQLite {theirs >> 20} MiB: {size / theirs:.2f}   goal 0.50")

    print("\nquery: a process from start to end, against one of DuckDB over the same rows")
    client = os.path.join(os.path.dirname(sys.executable), "duckdb")
    for name, words in WORDS.items():
        cold = best(7, lambda: run(WREG, "query", "--registry", ours, words))
        line(f"cold {name}: wreg query / duckdb -c", cold, best(5, lambda: run(client, "-readonly", "-csv", duck, "-c", SQL[name])), "goal 1.00x")
    python = f"import duckdb\nduckdb.connect({duck!r}, read_only=True).execute({SQL['count']!r}).fetchall()"
    cold = best(7, lambda: run(WREG, "query", "--registry", ours, WORDS["count"]))
    line("cold count: wreg query / Python and DuckDB", cold, best(3, lambda: run(sys.executable, "-c", python)), "goal 1.00x")


def bench_missing(folder):
    """query: missing against a spec of 64 layers x 256 experts, in process"""
    for name, ms in go_bench("BenchmarkMissing").items():
        print(f"missing, {name:10} {ms:8.2f} ms   goal 5.00 ms")
