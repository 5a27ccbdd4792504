#!/usr/bin/env python3
"""Random queries against SQLite: python query_random.py WREG [COUNT [SEED]]

Makes two small checkpoints, ingests them, and asks the same random questions of wreg
and of SQLite, whose rows Python derived from the tensors itself. A condition about
an absent value is false in wreg, so every comparison is coalesced in SQL; patterns
are matched by a few lines of Python."""
import hashlib
import json
import os
import random
import re
import sqlite3
import subprocess
import sys
import tempfile

import numpy as np
from safetensors.numpy import save_file

TEXTS = ["path", "dtype", "model", "file", "format"]
INTS = ["layer", "expert", "rank", "numel", "bytes", "offset", "nans", "infs", "zeros"]
FLOATS = ["min", "max", "absmax"]
DTYPES = {"float32": "f32", "float16": "f16", "int64": "i64", "uint8": "u8"}
REGEXPS = ["proj", "^model", r"\.(up|down)_", r"[02]\.weight$", "x", r"^h\.1", "a.*s"]
WORDS = ["model", "layers", "mlp", "experts", "up_proj", "down_proj", "weight", "bias", "h", "attn", "0", "1", "2", "11", "norm"]


def checkpoints(folder):
    """Two models, the second with some tensors of the first."""
    rng = np.random.default_rng(5)
    moe, gpt = {}, {}
    for layer in range(4):
        at = f"model.layers.{layer}."
        moe[at + "norm.weight"] = rng.standard_normal(8).astype(np.float32)
        if layer % 2:
            moe[at + "norm.bias"] = np.zeros(8, np.float32)
        for expert in range(4):
            for p, shape in ("up", (12, 8)), ("down", (8, 12)):
                if (layer, expert, p) != (2, 3, "up"):
                    moe[f"{at}mlp.experts.{expert}.{p}_proj.weight"] = rng.standard_normal(shape).astype(np.float16)
    moe["model.layers.1.mlp.experts.2.up_proj.weight"][0, :3] = [np.nan, np.inf, 0]
    moe["model.norm.weight"] = moe["model.layers.0.norm.weight"].copy()
    for layer in range(12):
        gpt[f"h.{layer}.attn.c_attn.weight"] = rng.standard_normal((4, 2, 3)).astype(np.float32)
        gpt[f"h.{layer}.attn.c_attn.bias"] = rng.integers(0, 200, 24).astype(np.uint8)
    gpt["wte.weight"] = np.zeros((0, 8), np.float32)
    gpt["step"] = np.array(7, np.int64)
    gpt["norm.weight"] = moe["model.norm.weight"].copy()
    for name, tensors in (("moe", moe), ("gpt", gpt)):
        os.makedirs(f"{folder}/{name}")
        save_file(tensors, f"{folder}/{name}/model.safetensors")
    return {"moe": moe, "gpt": gpt}


def row(model, path, a, offset):
    """What wreg must know of a tensor."""
    layer, expert = re.search(r"(?:^|\.)(?:layers|h)\.(\d+)(?=\.)", path), re.search(r"\.experts\.(\d+)(?=\.)", path)
    x = a.astype(np.float64).ravel()
    real = x[np.isfinite(x)]
    return {
        "path": path, "model": model + "@1", "layer": layer and int(layer[1]), "expert": expert and int(expert[1]),
        "dtype": DTYPES[str(a.dtype)], "shape": list(a.shape), "rank": a.ndim, "numel": a.size, "bytes": a.nbytes,
        "hash": "sha256:" + hashlib.sha256(a.tobytes()).hexdigest(), "file": "model.safetensors", "offset": offset, "format": "safetensors",
        "min": real.min() if real.size else None, "max": real.max() if real.size else None, "absmax": abs(real).max() if real.size else None,
        "nans": int(np.isnan(x).sum()), "infs": int(np.isinf(x).sum()), "zeros": int((x == 0).sum()),
    }


def matches(pattern, path):
    """Whether a pattern names a path, by trying everything."""
    segments, names = pattern.removeprefix("^").split("."), path.split(".")

    def part(text, name):
        alternatives = lambda m: "(?:%s)" % m[1].replace(",", "|")
        return re.fullmatch(re.sub(r"\{(.*?)\}", alternatives, text).replace("*", ".*"), name)

    def rest(i, j):
        if i == len(segments):
            return j == len(names)
        if segments[i] == "**":
            return any(rest(i + 1, k) for k in range(j, len(names) + 1))
        if segments[i] == "*" and i == len(segments) - 1:
            return j < len(names)
        return j < len(names) and part(segments[i], names[j]) and rest(i + 1, j + 1)

    return any(rest(0, j) for j in ([0] if pattern[0] == "^" else range(len(names) + 1)))


class Random:
    """Writes a question twice: for wreg and for SQLite."""

    def __init__(self, seed):
        self.r = random.Random(seed)

    def pattern(self):
        r = self.r
        def segment():
            w = r.choice(WORDS)
            return r.choice([w, w, w, "*", "**", w[:2] + "*", "*" + w[-2:], "{%s,%s}" % (w, r.choice(WORDS))])
        text = ".".join(segment() for _ in range(r.randint(1, 3)))
        return ("^" if r.random() < .15 else "") + text

    def number(self, depth=0):
        r = self.r
        kind = r.randrange(8 if depth < 2 else 3)
        if kind < 2:
            c = r.choice(INTS + FLOATS)
            return c, c
        if kind == 2:
            n = r.choice(["0", "1", "2", "3", "8", "96", "192", "0.5", "1e2", "65504"])
            return n, n
        if kind == 3:
            i = r.randint(-2, 2)
            return f"shape[{i}]", f"dim(shape, {i})"
        if kind == 4:
            a, x = self.number(depth + 1)
            return r.choice([(f"abs({a})", f"abs({x})"), (f"(len(path) + {a})", f"(length(path) + {x})")])
        op = r.choice(["+", "-", "*", "/", "//", "%"])
        (a, x), (b, y) = self.number(depth + 1), self.number(depth + 1)
        if op in "+-*":
            return f"({a} {op} {b})", f"({x} {op} {y})"
        return f"({a} {op} {b})", "%s(%s, %s)" % ({"/": "div", "//": "fdiv", "%": "fmod"}[op], x, y)

    def condition(self, depth=0):
        r = self.r
        kind = r.randrange(10 if depth < 2 else 7)
        if kind < 2:
            op = r.choice(["=", "!=", "<", "<=", ">", ">="])
            (a, x), (b, y) = self.number(), self.number()
            return f"{a} {op} {b}", f"coalesce({x} {op} {y}, 0)"
        if kind == 2:
            c, op, v = r.choice(TEXTS[:3]), r.choice(["=", "!=", "<", ">="]), r.choice(["f16", "f32", "gpt@1", "moe@1", "wte.weight"])
            if c == "dtype":
                op, v = r.choice(["=", "!="]), r.choice(["f16", "f32", "u8"])
            return f'{c} {op} "{v}"', f"coalesce({c} {op} '{v}', 0)"
        if kind == 3:
            c, no = r.choice(INTS[:5]), r.choice(["", "not "])
            n = sorted({r.choice([0, 1, 2, 3, 8, 24, 96, 192]) for _ in range(3)})
            if r.random() < .5:
                return f"{c} {no}in ({', '.join(map(str, n))})", f"coalesce({c} {no}in ({', '.join(map(str, n))}), 0)"
            return f"{c} {no}in {n[0]}..{n[-1]}", f"coalesce({c} {no}between {n[0]} and {n[-1]}, 0)"
        if kind == 4:
            c, no = r.choice(INTS[:2] + FLOATS), r.choice(["", "!"])
            return f"{c} {no}= null", f"{c} is {'not ' if no else ''}null"
        if kind == 5:
            x = r.choice(REGEXPS)
            return f"path ~ /{x}/", f"regexp('{x}', path)"
        if kind == 6:
            p = self.pattern()
            return f'path ~ "{p}"', f"names('{p}', path)"
        (a, x), (b, y) = self.condition(depth + 1), self.condition(depth + 1)
        if kind == 7:
            return f"not ({a})", f"not ({x})"
        return (f"({a} and {b})", f"(({x}) and ({y}))") if kind == 8 else (f"({a} or {b})", f"(({x}) or ({y}))")

    def aggregate(self):
        r = self.r
        if r.random() < .3:
            return "count()", "count(*)"
        f = r.choice(["count", "sum", "min", "max", "avg"])
        if f in ("min", "max") and r.random() < .4:
            c = r.choice(["path", "hash", "dtype"])
            return f"{f}({c})", f"{f}({c})"
        c, x = self.number(1)
        return f"{f}({c})", f"{f}({x})"

    def question(self):
        r = self.r
        p = "*" if r.random() < .6 else self.pattern()
        models = r.choice(["*", "*", "moe", "gpt"])
        words, sql = [f"find {p} in {models}"], [f"names('{p}', path)"]
        if models != "*":
            sql.append(f"model = '{models}@1'")
        if r.random() < .7:
            a, x = self.condition()
            words.append("where " + a)
            sql.append(f"({x})")
        where = " where " + " and ".join(sql)
        if r.random() < .45:
            keys = r.sample(["layer", "expert", "dtype", "rank", "model", "hash", "layer % 2", "bytes > 90"], r.randint(1, 2))
            k = [{"layer % 2": "fmod(layer, 2)", "bytes > 90": "bytes > 90"}.get(x, x) for x in keys]
            sums = dict(self.aggregate() for _ in range(r.randint(1, 3)))
            words += ["group by " + ", ".join(keys), "select " + ", ".join(keys + list(sums))]
            tail = " group by " + ", ".join(k)
            if r.random() < .5:
                n = r.randint(1, 4)
                words.append(f"having count() > {n}")
                tail += f" having count(*) > {n}"
            return " ".join(words), f"select {', '.join(k + list(sums.values()))} from t{where}{tail}", False
        if r.random() < .2:
            sums = dict(self.aggregate() for _ in range(3))
            return " ".join(words + ["select " + ", ".join(sums)]), f"select {', '.join(sums.values())} from t{where}", False
        (a, x), down = self.number(), r.choice(["", " desc"])
        words.append(f"select model, path, {a} order by {a}{down}, model, path")
        tail = f" order by ({x}) + 0{down} nulls last, model, path"
        if r.random() < .4:
            n = r.randint(0, 9)
            words.append(f"limit {n}")
            tail += f" limit {n}"
        return " ".join(words), f"select model, path, {x} from t{where}{tail}", True


def real(fn):
    """An SQL function of numbers: no value of no value."""
    def call(*args):
        if None in args:
            return None
        try:
            return fn(*args)
        except ZeroDivisionError:
            return None
    return call


def database(models):
    db = sqlite3.connect(":memory:")
    db.create_function("regexp", 2, lambda p, s: re.search(p, s) is not None, deterministic=True)
    db.create_function("names", 2, lambda p, s: bool(matches(p, s)), deterministic=True)
    db.create_function("dim", 2, real(lambda s, i: (lambda d: d[i] if -len(d) <= i < len(d) else None)(json.loads(s))))
    db.create_function("div", 2, real(lambda a, b: a / b))
    db.create_function("fdiv", 2, real(lambda a, b: a // b))
    db.create_function("fmod", 2, real(lambda a, b: a % b))
    names = [c for c in row("m", "p", np.zeros(1, np.float32), 0)]
    db.execute(f"create table t ({', '.join(names)})")
    for r in models:
        db.execute(f"insert into t values ({', '.join('?' * len(names))})", [json.dumps(v) if isinstance(v, list) else v for v in r.values()])
    return db


def plain(v):
    if isinstance(v, (int, float)):
        return float("%.12g" % v)
    return json.dumps(v) if isinstance(v, list) else v


def run(wreg, folder, count=500, seed=1):
    """How many answers differ from SQLite's."""
    tensors = checkpoints(folder)
    env = dict(os.environ, WREG_REGISTRY=f"{folder}/registry.db")
    ask = lambda *args: subprocess.run([wreg, *args], env=env, text=True, capture_output=True)
    ingest = ask("ingest", f"{folder}/moe", f"{folder}/gpt")
    assert ingest.returncode == 1, ingest.stderr  # NaN and tensors without elements are findings
    found = json.loads(ask("query", "--json", "find * in * select *").stdout)["rows"]
    offsets = {(r["model"], r["path"]): r["offset"] for r in found}
    rows = [row(m, p, a, offsets[m + "@1", p]) for m, list_ in tensors.items() for p, a in list_.items()]
    for want in rows:
        got = next(r for r in found if (r["model"], r["path"]) == (want["model"], want["path"]))
        assert {k: plain(v) for k, v in got.items() if k not in ("template", "trust")} == {k: plain(v) for k, v in want.items()}, f"{got}\n{want}"
    assert len(found) == len(rows)
    db, rnd, bad, refused, filled = database(rows), Random(seed), 0, 0, 0
    for i in range(count):
        query, sql, ordered = rnd.question()
        want = [[plain(v) for v in r] for r in db.execute(sql)]
        filled += len(want) > 0
        answer = ask("query", "--json", query)
        if answer.returncode:
            refused += 1
            if "overflow" not in answer.stderr and "nothing" not in answer.stderr:
                bad += 1
                print(f"{i}: {query}\n  refused: {answer.stderr[:300]}")
            continue
        parsed = json.loads(answer.stdout)
        got = [[plain(int(v) if isinstance(v, bool) else v) for v in r.values()] for r in parsed["rows"]]
        if not ordered:
            got.sort(key=repr), want.sort(key=repr)
        if got != want:
            bad += 1
            print(f"{i}: {query}\n  {sql}\n  sqlite {want[:4]}\n  wreg   {got[:4]}")
    print(f"{count} random queries (seed {seed}) compared with SQLite {sqlite3.sqlite_version}: {filled} with rows, {bad} differ, {refused} refused")
    assert filled > count / 3, "most questions have no answer: they compare nothing"
    return bad


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temp:
        sys.exit(run(sys.argv[1], temp, *map(int, sys.argv[2:])) > 0)
