"""The same tensors, written by each format's own writer, have the same hashes."""
import hashlib
import json

import gguf
import mlx.core as mx
import numpy as np
import safetensors.numpy

import checkpoints

SHAPES = {"model.embed.weight": (7, 32), "model.layers.0.w.weight": (3, 64), "model.layers.1.experts.weight": (2, 4, 32),
          "model.layers.10.norm.weight": (32,)}


def arrays(kind):
    return {n: checkpoints.fill(n, int(np.prod(s)), kind).reshape(s) for n, s in SHAPES.items()}


def hashes(wreg, path, name):
    wreg("ingest", path, "--name", name)
    rows = json.loads(wreg("query", f"find * in {name} select path, shape, hash", "--format", "json"))["rows"]
    return {r["path"]: (tuple(r["shape"]), r["hash"]) for r in rows}


def expected(tensors):
    return {n: (a.shape, "sha256:" + hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest()) for n, a in tensors.items()}


def same(got, want):
    assert got == want, f"{got}\nagainst\n{want}"


def check_safetensors(folder, wreg):
    for kind in ("F32", "F16"):
        t = arrays(kind)
        safetensors.numpy.save_file(t, f"{folder}/{kind}.safetensors")
        same(hashes(wreg, f"{folder}/{kind}.safetensors", kind), expected(t))


def check_mlx_safetensors(folder, wreg):
    t = arrays("F32")
    mx.save_safetensors(f"{folder}/m.safetensors", {n: mx.array(a) for n, a in t.items()})
    same(hashes(wreg, f"{folder}/m.safetensors", "m"), expected(t))


def check_npz(folder, wreg):
    t = arrays("F32")
    np.savez(f"{folder}/m.npz", **t)
    same(hashes(wreg, f"{folder}/m.npz", "m"), expected(t))
    np.savez_compressed(f"{folder}/c.npz", **t)
    same(hashes(wreg, f"{folder}/c.npz", "c"), expected(t))


def check_npz_fortran_and_big_endian(folder, wreg):
    t = arrays("F32")
    np.savez(f"{folder}/m.npz", **{n: np.asfortranarray(a).astype(">f4") for n, a in t.items()})
    same(hashes(wreg, f"{folder}/m.npz", "m"), expected(t))


def check_mlx_npz(folder, wreg):
    t = arrays("F16")
    mx.savez(f"{folder}/m.npz", **{n: mx.array(a) for n, a in t.items()})
    same(hashes(wreg, f"{folder}/m.npz", "m"), expected(t))


def check_gguf(folder, wreg):
    t = arrays("F32")
    w = gguf.GGUFWriter(f"{folder}/m.gguf", "llama")
    for n, a in t.items():
        w.add_tensor(n, a)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    same(hashes(wreg, f"{folder}/m.gguf", "m"), expected(t))


def check_mlx_gguf(folder, wreg):
    t = {n: a for n, a in arrays("F16").items() if a.ndim < 3}
    mx.save_gguf(f"{folder}/m.gguf", {n: mx.array(a) for n, a in t.items()})
    same(hashes(wreg, f"{folder}/m.gguf", "m"), expected(t))
