"""Reading checkpoints."""
import glob
import hashlib
import json
import os
import sys
import time

from run import Run, WREG, best, large, line, run


def bench_hashes(folder):
    """ingest: hashes of a large checkpoint against sha256sum, and against one core's SHA-256 times the cores"""
    path = large(folder)
    files = sorted(glob.glob(f"{path}/*.safetensors"))
    total = sum(map(os.path.getsize, files))
    ours = best(3, lambda: run(WREG, "ingest", path, "--rehash"))
    plain = best(3, lambda: run("sha256sum", *files))
    line("wreg ingest (hashes, statistics) / sha256sum", ours, plain, "goal 0.40 on two cores")
    bare = best(3, lambda: run(WREG, "ingest", path, "--rehash", "--no-stats"))
    line("wreg ingest --no-stats / sha256sum", bare, plain)
    block = bytes(64 << 20)
    start = time.perf_counter()
    for _ in range(4):
        hashlib.sha256(block)
    core = 4 * len(block) / (time.perf_counter() - start)
    share = total / bare.wall / (core * os.cpu_count())
    print(f"rate of wreg ingest --no-stats, of {os.cpu_count()} cores' SHA-256: {share:.2f}   goal 0.85")


def headers(folder, shards=20, each=5000):
    """100,000 tensors in 20 shards, a layer each, written as the hub's are: by the safetensors
    package, and the index sorted by name."""
    import numpy as np
    from safetensors.numpy import save_file
    out = f"{folder}/headers"
    if os.path.exists(out):
        return out
    os.makedirs(out)
    weights, tensor = {}, np.zeros((2, 4), np.float16)
    for s in range(shards):
        name = f"model-{s + 1:05d}-of-{shards:05d}.safetensors"
        paths = [f"model.layers.{s}.mlp.experts.{i // 3}.{('down', 'gate', 'up')[i % 3]}_proj.weight" for i in range(each)]
        save_file(dict.fromkeys(paths, tensor), f"{out}/{name}", metadata={"format": "pt"})
        weights.update(dict.fromkeys(paths, name))
    with open(f"{out}/model.safetensors.index.json", "w") as f:
        json.dump({"metadata": {"total_size": tensor.nbytes * each * shards}, "weight_map": weights}, f, indent=2, sort_keys=True)
    return out


READ = """
import glob, sys
from safetensors import safe_open
for file in glob.glob(sys.argv[1] + "/*.safetensors"):
    with safe_open(file, "np") as f:
        for k in f.keys():
            s = f.get_slice(k)
            s.get_dtype(), s.get_shape()
"""


def bench_headers(folder):
    """ingest --no-hash: the headers of 100,000 tensors in 20 shards against the safetensors package"""
    path = headers(folder)
    def fresh():
        if os.path.exists(f"{folder}/headers.db"):
            os.remove(f"{folder}/headers.db")
    ours = best(5, lambda: run(WREG, "ingest", "--no-hash", path, "--registry", f"{folder}/headers.db"), fresh)
    theirs = best(5, lambda: run(sys.executable, "-c", READ, path))
    nothing = best(5, lambda: run(sys.executable, "-c", "import glob, sys\nfrom safetensors import safe_open"))
    line("wreg ingest --no-hash / safetensors in Python", ours, theirs, "goal 0.33")
    rest = Run(theirs.wall - nothing.wall, type("usage", (), {"ru_utime": theirs.cpu, "ru_stime": 0, "ru_maxrss": theirs.mib * 1024}))
    line("the same, Python's start-up taken off", ours, rest)
