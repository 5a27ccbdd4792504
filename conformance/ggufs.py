"""GGUF files that gguf-py writes, with llama.cpp's names and its order of rotary
pairs, become what mlx_lm.convert makes of the checkpoint they were made from."""
import json
import os
from pathlib import Path

import gguf
import mlx_lm
import numpy as np
from safetensors.numpy import save_file

import checkpoints
import convert

ARCHS = {"llama": "LLAMA", "mistral": "LLAMA", "qwen2": "QWEN2", "qwen3": "QWEN3"}
TYPES = ("F32", "F16", "BF16", "Q8_0", "Q4_0")


def permute(w, heads):
    """As llama.cpp's convert_hf_to_gguf does to q and k of llama and mistral."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def permute_back(w, heads):
    return w.reshape(heads, w.shape[0] // heads // 2, 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def write(folder, name, kind, seed=0):
    """One model twice: hf/ in safetensors, as what kind can hold, and gguf/."""
    g = checkpoints.golden(name)
    config, source = g["config"], list(g["source"])
    if name == "llama":
        config["attention_bias"] = True
        source += [{"name": t["name"].replace("weight", "bias"), "shape": t["shape"][:1]} for t in source if ".self_attn." in t["name"]]
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[ARCHS[name]], config["num_hidden_layers"])
    rng = np.random.default_rng(seed)
    qtype = gguf.GGMLQuantizationType[kind]
    hf, stored = {}, {}
    for t in source:
        path, w = t["name"], (rng.standard_normal(t["shape"]) * 0.05).astype(np.float32)
        as_type = qtype if w.ndim > 1 else gguf.GGMLQuantizationType.F32  # norms stay f32, as llama.cpp has it
        if name in ("llama", "mistral") and (".q_proj." in path or ".k_proj." in path):
            heads = config["num_attention_heads" if ".q_proj." in path else "num_key_value_heads"]
            assert np.array_equal(permute_back(permute(w, heads), heads), w)
            data = gguf.quants.quantize(permute(w, heads), as_type)
            hf[path] = permute_back(gguf.quants.dequantize(data, as_type), heads)
        else:
            data = gguf.quants.quantize(w, as_type)
            hf[path] = gguf.quants.dequantize(data, as_type)
        stored[names.get_name(path, try_suffixes=(".weight", ".bias"))] = (data, as_type)
    for sub in ("hf", "gguf"):
        os.makedirs(f"{folder}/{sub}")
        Path(f"{folder}/{sub}/config.json").write_text(json.dumps(config))
        checkpoints.tokenizer(f"{folder}/{sub}", config["vocab_size"])
    save_file({n: np.ascontiguousarray(a) for n, a in hf.items()}, f"{folder}/hf/model.safetensors", metadata={"format": "pt"})
    w = gguf.GGUFWriter(f"{folder}/gguf/model.gguf", ARCHS[name].lower())
    w.add_block_count(config["num_hidden_layers"])
    for n, (data, as_type) in stored.items():
        w.add_tensor(n, data, raw_dtype=as_type)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def check_gguf(folder, wreg, case):
    name, kind = case.split("-")
    write(folder, name, kind)
    wreg("ingest", f"{folder}/gguf", "--name", "m")
    for flags, kwargs in (((), {}), (("--dtype", "float16"), {"dtype": "float16"}), (("-q",), {"quantize": True})):
        ours, theirs = f"{folder}/ours{len(flags)}{flags[:1] == ('-q',)}", f"{folder}/theirs{len(flags)}{flags[:1] == ('-q',)}"
        wreg("export", "m", "--out", ours, "--no-register", *flags)
        mlx_lm.convert(f"{folder}/hf", theirs, **kwargs)
        convert.same_folder(ours, theirs)
        wreg("verify", ours)
    assert convert.same_logits(f"{folder}/ours0False", f"{folder}/theirs0False"), "the forward pass did not run"


check_gguf.cases = [f"{name}-{kind}" for name in ARCHS for kind in TYPES]
