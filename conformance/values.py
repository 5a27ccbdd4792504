"""How much two checkpoints differ: wreg diff --values against numpy, and against what
mlx dequantizes."""
import json
from pathlib import Path

import mlx.core as mx
import numpy as np

import checkpoints


def diff(wreg, a, b):
    """What differs, by path; nothing may be left uncompared."""
    c = json.loads(wreg("diff", a, b, "--values", "--json", status=1))
    assert c["not_compared"] == c["missing"] == c["extra"] == 0, c
    return c, {t["path"]: t for t in c["tensors"]}


def measured(x, y):
    """Relative norm, largest change, elements changed, by numpy in float64."""
    x, y = (np.asarray(v, dtype=np.float64).ravel() for v in (x, y))
    fine = np.isfinite(x) & np.isfinite(y)
    d = np.abs(y[fine] - x[fine])
    norm = np.linalg.norm(x[fine])
    return (np.linalg.norm(d) / norm if norm else None), (d.max() if d.size else 0.0), int((np.isnan(x) | np.isnan(y)).sum())


def agrees(t, x, y, changed):
    relative, most, nans = measured(x, y)
    got = t["change"]
    assert (relative is None) == (got["relative"] is None), t
    assert relative is None or abs(got["relative"] - relative) <= 1e-11 * relative, (t, relative)
    assert got["max"] == most, (t, most)
    assert got["elements"] == np.asarray(x).size and got["elements_changed"] == changed, (t, changed)
    if got.get("at"):
        at = tuple(got["at"])
        assert abs(np.asarray(y, np.float64)[at] - np.asarray(x, np.float64)[at]) == most, t
    assert got["nans"] == nans, (t, nans)


def check_dtypes(folder, wreg):
    """Every dtype that numpy or mlx reads, changed in a few elements."""
    random = np.random.default_rng(7)
    kinds = {"f64": np.float64, "f32": np.float32, "f16": np.float16, "i8": np.int8, "u8": np.uint8, "i16": np.int16, "u16": np.uint16,
             "i32": np.int32, "u32": np.uint32, "i64": np.int64, "u64": np.uint64}
    was, now = {}, {}
    for name, kind in kinds.items():
        x = random.standard_normal((37, 111)) * 50
        x = x.astype(kind) if name[0] == "f" else np.abs(x).astype(kind) if name[0] == "u" else x.astype(kind)
        y = x.copy()
        y.reshape(-1)[::97] += kind(3)
        was[name], now[name] = x, y
    was["f32"][0, :3] = now["f32"][0, :3] = [np.nan, np.inf, -0.0]
    now["f32"][0, 5] = np.nan
    for side, tensors in (("was", was), ("now", now)):
        Path(folder, side).mkdir()
        write(f"{folder}/{side}/model.safetensors", tensors)
        wreg("ingest", f"{folder}/{side}", status=1)  # NaN is a finding
    _, got = diff(wreg, "was", "now")
    assert set(got) == set(kinds), got.keys()
    for name, t in got.items():
        x, y = was[name], now[name]
        bits = f"u{x.dtype.itemsize}"
        agrees(t, x, y, int((x.view(bits) != y.view(bits)).sum()))


def write(path, tensors):
    from safetensors.numpy import save_file
    save_file(tensors, path)


def check_bfloat16(folder, wreg):
    """bf16, and a cast from f32 to it, as mlx has them."""
    mx.random.seed(3)
    w = mx.random.normal((64, 256))
    for side, x in (("wide", w), ("cast", w.astype(mx.bfloat16)), ("tuned", (w.astype(mx.bfloat16) + mx.random.normal(w.shape).astype(mx.bfloat16) * 1e-3).astype(mx.bfloat16))):
        Path(folder, side).mkdir()
        mx.save_safetensors(f"{folder}/{side}/model.safetensors", {"w": x})
        wreg("ingest", f"{folder}/{side}")
    wide, cast, tuned = (np.array(mx.load(f"{folder}/{s}/model.safetensors")["w"].astype(mx.float32)) for s in ("wide", "cast", "tuned"))
    for a, b, x, y in (("wide", "cast", wide, cast), ("cast", "tuned", cast, tuned)):
        agrees(diff(wreg, a, b)[1]["w"], x, y, int((x != y).sum()))


def check_quantized(folder, wreg, case):
    """Each module of a model that mlx quantized, against what mlx makes of its codes."""
    golden = checkpoints.golden("qwen3_moe")
    config = dict(golden["config"], moe_intermediate_size=64)
    source = [dict(t, shape=[64 if n == 32 and "mlp.experts" in t["name"] else n for n in t["shape"]]) for t in golden["source"]]
    checkpoints.write(f"{folder}/hf", source, config)
    wreg("ingest", f"{folder}/hf", "--name", "hf")
    mode, bits, group = case.split("-")
    wreg("export", "hf", "--out", f"{folder}/q", "--name", "q", "-q", "--q-mode", mode, "--q-bits", bits, "--q-group-size", group)
    c, got = diff(wreg, "hf", "q")
    hf, q = mx.load(f"{folder}/hf/model.safetensors"), mx.load(f"{folder}/q/model.safetensors")
    settings = json.loads(Path(folder, "q", "config.json").read_text())["quantization"]
    packed = [k[:-len(".scales")] for k in q if k.endswith(".scales")]
    assert {f"{m}.weight" for m in packed} == set(got), (packed, got.keys())
    squares = total = stored = weights = 0
    for module in packed:
        own = settings.get(module, settings)
        y = mx.dequantize(q[f"{module}.weight"], q[f"{module}.scales"], q.get(f"{module}.biases"), group_size=own["group_size"], bits=own["bits"], mode=own.get("mode", "affine"))
        if ".switch_mlp." in module:
            before, after = module.split(".switch_mlp.")
            x = mx.stack([hf[f"{before}.experts.{e}.{after}.weight"] for e in range(config["num_experts"])])
        else:
            x = hf[f"{module}.weight"]
        x, y = (np.array(v.astype(mx.float32)).astype(np.float64) for v in (x, y))
        t = got[f"{module}.weight"]
        agrees(t, x, y, int((x != y).sum()))
        size = sum(q[f"{module}.{p}"].nbytes for p in ("weight", "scales", "biases") if f"{module}.{p}" in q)
        assert abs(t["bits_b"] - 8 * size / x.size) < 1e-9, t
        squares, total = squares + ((y - x) ** 2).sum(), total + (x ** 2).sum()
        stored, weights = stored + size, weights + x.size
    assert abs(c["total"]["relative"] - np.sqrt(squares / total)) < 1e-11, c["total"]
    assert abs(c["quantized"]["bits_b"] - 8 * stored / weights) < 1e-9, c["quantized"]


check_quantized.cases = ["affine-4-64", "affine-8-32", "affine-3-64", "mxfp4-4-32", "nvfp4-4-16", "mxfp8-8-32"]
