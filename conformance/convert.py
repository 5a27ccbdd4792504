"""What wreg export writes is what mlx_lm.convert writes, and loads as well."""
import glob
import json
import struct
from pathlib import Path

import mlx.core as mx
import mlx_lm
import numpy as np
from mlx_lm.utils import load_model

import checkpoints


def cases(*names):
    def mark(fn):
        fn.cases = names
        return fn
    return mark


def tensors(folder):
    """path -> (dtype, shape, bytes) of every tensor, read without wreg or mlx."""
    out = {}
    for file in sorted(glob.glob(f"{folder}/model*.safetensors")):
        data = Path(file).read_bytes()
        (n,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8:8 + n])
        header.pop("__metadata__", None)
        for name, t in header.items():
            assert name not in out, f"{name} is in two shards of {folder}"
            a, b = t["data_offsets"]
            out[name] = (t["dtype"], t["shape"], data[8 + n + a:8 + n + b])
    return out


def logits(folder):
    """One forward pass in float32 on the CPU, strictly loaded."""
    model, _ = load_model(Path(folder), strict=True)
    model.set_dtype(mx.float32)
    out = model(mx.array([[1, 2, 3, 5, 7]]))
    out = getattr(out, "logits", out)
    mx.eval(out)
    return np.array(out)


def same_folder(got, want):
    a, b = tensors(got), tensors(want)
    assert a.keys() == b.keys(), f"names differ: only wreg {sorted(a.keys() - b.keys())}, only mlx_lm {sorted(b.keys() - a.keys())}"
    wrong = [n for n in b if a[n] != b[n]]
    assert not wrong, f"{len(wrong)} tensors differ: {wrong[:3]}: {a[wrong[0]][:2]} against {b[wrong[0]][:2]}"
    for name in ("config.json", "model.safetensors.index.json"):
        mine, theirs = (json.loads(Path(f, name).read_text()) for f in (got, want))
        if name == "model.safetensors.index.json":
            mine["weight_map"], theirs["weight_map"] = sorted(mine["weight_map"]), sorted(theirs["weight_map"])
        assert mine == theirs, f"{name} differs: {[(k, mine.get(k), theirs.get(k)) for k in mine | theirs if mine.get(k) != theirs.get(k)]}"


def same_logits(got, want):
    """Both load strictly; the forward pass, where this CPU can run it, agrees to the bit."""
    load_model(Path(got), lazy=True, strict=True)
    try:
        y = logits(want)
    except Exception as e:
        print(f"      no forward pass here: {type(e).__name__}: {str(e)[:90]}")
        return False
    x = logits(got)
    assert x.dtype == y.dtype and x.tobytes() == y.tobytes(), "logits differ"
    return True


# What keeps a golden's config from any forward pass, here or on a Mac, set right.
RUNNABLE = {
    "mimo_v2_flash": {"partial_rotary_factor": 0.375},  # of 16: rope turns pairs, and 0.334 makes 5 of them
    "plamo": {"n_shared_head": 4},  # of 4 heads: 8 would share a key among more heads than there are
}
# The same where other shapes are needed: these checkpoints are made by wreg synth.
RESHAPED = {
    "exaone": {"head_dim": 16},  # its attention's output takes heads x head_dim for hidden_size
    "phi3small": {"vocab_size": 100352},  # the forward pass writes to logits 100256 to 100351, wherever memory ends
}


def source(folder, wreg, name, shards=1, times=1, tame=False):
    """A golden's source in folder/m; times: with matrices so many times as wide."""
    g = checkpoints.golden(name)
    config = g["config"] | RUNNABLE.get(name, {})
    if times == 1 and name not in RESHAPED:
        checkpoints.write(f"{folder}/m", g["source"], config, g["seed"], shards, tame=tame)
        return
    config |= {k: v * times for k, v in config.items() if k in ("hidden_size", "intermediate_size", "head_dim")}
    config |= RESHAPED.get(name, {})
    Path(folder, "config.json").write_text(json.dumps(config))
    wreg("synth", "--config", f"{folder}/config.json", "--out", f"{folder}/m")


def both(folder, wreg, name, shards=1, times=1, flags=(), **convert):
    """Converts one golden's source with wreg and with mlx_lm; compares everything."""
    source(folder, wreg, name, shards, times)
    mlx_lm.convert(f"{folder}/m", f"{folder}/theirs", **convert)
    wreg("ingest", f"{folder}/m")
    wreg("export", "m", "--target", "mlx", "--out", f"{folder}/ours", *flags)
    same_folder(f"{folder}/ours", f"{folder}/theirs")
    return same_logits(f"{folder}/ours", f"{folder}/theirs")


@cases("hunyuan", "hunyuan-lists", "hunyuan-fused", "llama", "mixtral", "qwen3_moe")
def check_export(folder, wreg, name):
    assert both(folder, wreg, name), "the forward pass did not run"
    assert wreg("query", "gaps in ours against m") == ""  # no --exit-code: a cast is a difference to it
    wreg("verify", "ours", "--runtime")


def check_export_from_shards(folder, wreg):
    both(folder, wreg, "hunyuan", shards=5)


@cases(*(n for n in checkpoints.golden_names() if n not in check_export.cases))
def check_family(folder, wreg, name):
    both(folder, wreg, name)


ROPE = [n for n in checkpoints.golden_names() if "rope_theta" in checkpoints.golden(n)["config"]]


@cases(*(n for n in ("gemma", "llama", "phi3", "qwen2_moe", "qwen3", "stablelm") if n in ROPE))
def check_rope_of_transformers_5(folder, wreg, name):
    """transformers 5 saves rope_theta and partial_rotary_factor in rope_parameters alone,
    where most modules of mlx_lm do not look: they would compute with a default."""
    g = checkpoints.golden(name)
    config = g["config"] | RUNNABLE.get(name, {}) | {"rope_theta": 123.0}
    parameters = {"rope_type": "default"} | (config.pop("rope_parameters", None) or {}) | {"rope_theta": 123.0}
    moved = {k: config[k] for k in ("rope_theta", "partial_rotary_factor") if k in config}
    flat = config | {"rope_parameters": parameters | moved}
    nested = {k: v for k, v in flat.items() if k not in moved}
    for model, c in (("flat", flat), ("nested", nested)):
        checkpoints.write(f"{folder}/{model}", g["source"], c, g["seed"], tame=True)
        wreg("ingest", f"{folder}/{model}")
        wreg("export", model, "--out", f"{folder}/{model}-out", "--no-register")
    same_logits(f"{folder}/nested-out", f"{folder}/flat-out")


NO_CPU = ["bitnet", "muse_spark"]  # their forward passes are Metal kernels


@cases(*(n for n in checkpoints.golden_names() if n not in NO_CPU))
def check_generates(folder, wreg, name):
    """What wreg exports loads strictly, tokenizer and all, and mlx_lm generates with
    it. In float32, because mlx multiplies experts on a CPU in nothing else."""
    source(folder, wreg, name, tame=True)
    wreg("ingest", f"{folder}/m")
    wreg("export", "m", "--out", f"{folder}/out", "--no-register")
    model, tokenizer = mlx_lm.load(f"{folder}/out")
    model.set_dtype(mx.float32)
    steps = list(mlx_lm.stream_generate(model, tokenizer, [5, 7, 11], max_tokens=4))
    assert steps and steps[-1].finish_reason, "nothing was generated"
    for step in steps:
        wild = set(np.flatnonzero(~np.isfinite(np.array(step.logprobs))).tolist())
        wild -= set(getattr(model, "_dummy_tokenizer_ids", mx.array([])).tolist())  # phi3small's own -inf
        assert not wild, f"the logits of {sorted(wild)[:5]} are not finite"


QUANT = {
    "affine4": (("-q",), {}),
    "affine3-32": (("-q", "--q-bits", "3", "--q-group-size", "32"), {"q_bits": 3, "q_group_size": 32}),
    "affine8-128": (("-q", "--q-bits", "8", "--q-group-size", "128"), {"q_bits": 8, "q_group_size": 128}),
    "mxfp4": (("-q", "--q-mode", "mxfp4"), {"q_mode": "mxfp4"}),
    "nvfp4": (("-q", "--q-mode", "nvfp4"), {"q_mode": "nvfp4"}),
    "mxfp8": (("-q", "--q-mode", "mxfp8"), {"q_mode": "mxfp8"}),
}
QUANT |= {f"affine{bits}": (("-q", "--q-bits", str(bits)), {"q_bits": bits}) for bits in (2, 5, 6)}
QUANT |= {f"mixed_{low}": (("-q", "--quant-predicate", f"mixed_{low}"), {"quant_predicate": f"mixed_{low}"}) for low in ("2_6", "3_4", "3_6", "4_6")}


@cases(*QUANT)
def check_quantize(folder, wreg, mode):
    flags, convert = QUANT[mode]
    both(folder, wreg, "hunyuan", times=2, flags=flags, quantize=True, **convert)
    quantized = [n for n in tensors(f"{folder}/ours") if n.endswith(".scales")]
    assert len(quantized) > 30, quantized


@cases("deepseek_v3-fp8", "minimax_m2-fp8", "deepseek_v3-int4", "qwen2-awq", "gpt_oss")
def check_dequantize_stored(folder, wreg, name):
    """-d of what the hub stores quantized: floats, and no word of it in config.json."""
    both(folder, wreg, name, flags=("-d",), dequantize=True)


@cases(*(f"{mode}-{dtype}" for mode in ("affine3-32", "affine4", "mxfp4", "nvfp4", "mxfp8", "mixed_3_6") for dtype in ("bfloat16", "float16", "float32")))
def check_dequantize(folder, wreg, case):
    """-d of what mlx_lm quantized, in every mode."""
    mode, dtype = case.rsplit("-", 1)
    source(folder, wreg, "hunyuan", times=2)
    mlx_lm.convert(f"{folder}/m", f"{folder}/q", quantize=True, dtype=dtype, **QUANT[mode][1])
    mlx_lm.convert(f"{folder}/q", f"{folder}/theirs", dequantize=True)
    wreg("ingest", f"{folder}/q")
    wreg("export", "q", "--out", f"{folder}/ours", "-d")
    same_folder(f"{folder}/ours", f"{folder}/theirs")


@cases("float16", "bfloat16", "float32")
def check_dtype(folder, wreg, dtype):
    both(folder, wreg, "hunyuan", flags=("--dtype", dtype), dtype=dtype)


def check_lost_expert_is_refused_by_both(folder, wreg):
    """The same gap stops mlx_lm with a traceback; wreg names the tensor."""
    g = checkpoints.golden("hunyuan")
    lost = "model.layers.3.mlp.experts.2.up_proj.weight"
    checkpoints.write(f"{folder}/m", g["source"], g["config"], g["seed"], drop=lost)
    wreg("ingest", f"{folder}/m")
    assert wreg("query", "missing experts.*.up_proj.weight").split("\t")[0] == lost
    wreg("export", "m", "--out", f"{folder}/ours", status=2)
    assert not Path(f"{folder}/ours").exists()
    try:
        mlx_lm.convert(f"{folder}/m", f"{folder}/theirs")
    except Exception:
        return
    raise AssertionError("mlx_lm converted a checkpoint that lacks an expert")


def check_runtime_finds_what_mlx_lm_refuses(folder, wreg):
    """verify --runtime is mlx_lm's own opinion: a wrong config is a finding."""
    g = checkpoints.golden("llama")
    checkpoints.write(f"{folder}/m", g["source"], g["config"], g["seed"])
    wreg("ingest", f"{folder}/m")
    wreg("export", "m", "--out", f"{folder}/ours")
    path = Path(f"{folder}/ours/config.json")
    config = json.loads(path.read_text())
    config["num_hidden_layers"] += 1
    path.write_text(json.dumps(config))
    wreg("verify", f"{folder}/ours", "--runtime", status=1)


def check_runtime_loads_the_tokenizer(folder, wreg):
    """A tokenizer that is JSON and no tokenizer is found where it is loaded."""
    source(folder, wreg, "llama")
    path = Path(f"{folder}/m/tokenizer.json")
    path.write_text(path.read_text().replace("WordLevel", "Letters"))
    wreg("ingest", f"{folder}/m")
    wreg("export", "m", "--out", f"{folder}/ours")
    assert "tokenizer.json" in wreg("verify", f"{folder}/ours", "--runtime", status=1)
