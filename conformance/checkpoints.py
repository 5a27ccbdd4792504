"""Checkpoints for the suite: written here, by other writers than wreg's own, from
the rule that synth documents. Bytes follow from a tensor's name and a seed."""
import json
import os
from pathlib import Path

import numpy as np

GOLDENS = Path(__file__).parent.parent / "registry/arch/testdata/goldens"
SIZES = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "U16": 2, "I16": 2, "F16": 2,
         "BF16": 2, "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8}


def fill(name, count, dtype, seed=0):
    """The bytes of a tensor, as a numpy array of its storage type."""
    base = 0xCBF29CE484222325
    for b in name.encode():
        base = ((base ^ b) * 0x100000001B3) % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(base ^ seed) + np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z ^= z >> np.uint64(30)
        z *= np.uint64(0xBF58476D1CE4E5B9)
        z ^= z >> np.uint64(27)
        z *= np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    f = ((z >> np.uint64(40)).astype(np.float32) * np.float32(2**-24) - np.float32(0.5)) * np.float32(0.25)
    if dtype == "F32":
        return f
    if dtype == "F64":
        return f.astype(np.float64)
    if dtype == "F16":
        return f.astype(np.float16)
    if dtype == "BF16":
        u = f.view(np.uint32)
        return ((u + ((u >> 16) & 1) + 0x7FFF) >> 16).astype(np.uint16)
    if dtype == "F8_E4M3":
        b = z.astype(np.uint8)
        return np.where((b & 0x7F) == 0x7F, b & 0xFE, b).astype(np.uint8)
    if dtype == "BOOL":
        return (z & np.uint64(1)).astype(np.uint8)
    return z.astype(f"u{SIZES[dtype]}")


def golden_names():
    return sorted(p.stem for p in GOLDENS.glob("*.json"))


def golden(name):
    return json.loads((GOLDENS / f"{name}.json").read_text())


def write(folder, source, config, seed=0, shards=1, drop=None, tame=False):
    """A checkpoint in the hub's layout: shards, index, config.json, tokenizer. Tame:
    exponents stored as bytes are near one, so that a forward pass stays finite."""
    os.makedirs(folder)
    files = {}
    for i, t in enumerate(sorted(source, key=lambda t: t["name"])):
        if drop and drop in t["name"]:
            continue
        files.setdefault(i * shards // len(source), []).append(t)
    weight_map, total = {}, 0
    for i, tensors in files.items():
        name = "model.safetensors" if shards == 1 else f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        header, blobs, at = {"__metadata__": {"format": "pt"}}, [], 0
        for t in tensors:
            data = fill(t["name"], int(np.prod(t["shape"], dtype=np.int64)), t["dtype"], seed)
            if tame and t["dtype"] == "U8" and t["name"].endswith("_scales"):
                data = 120 + data % 8
            blob = data.tobytes()
            header[t["name"]] = {"dtype": t["dtype"], "shape": t["shape"], "data_offsets": [at, at + len(blob)]}
            at += len(blob)
            blobs.append(blob)
            weight_map[t["name"]] = name
        total += at
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        with open(f"{folder}/{name}", "wb") as f:
            f.write(len(text).to_bytes(8, "little") + text + b"".join(blobs))
    with open(f"{folder}/model.safetensors.index.json", "w") as f:
        json.dump({"metadata": {"total_size": total}, "weight_map": weight_map}, f)
    with open(f"{folder}/config.json", "w") as f:
        json.dump(config, f)
    tokenizer(folder, max(8, min(config.get("vocab_size", 64), 4096)))


def tokenizer(folder, size):
    """The smallest tokenizer that AutoTokenizer loads offline."""
    words = (["<unk>", "<s>", "</s>"] + [f"w{i}" for i in range(size)])[:size]
    special = [{"id": i, "content": w, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
                "special": True} for i, w in enumerate(words[:3])]
    with open(f"{folder}/tokenizer.json", "w") as f:
        json.dump({"version": "1.0", "truncation": None, "padding": None, "added_tokens": special, "normalizer": None,
                   "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": None, "decoder": None,
                   "model": {"type": "WordLevel", "vocab": {w: i for i, w in enumerate(words)}, "unk_token": "<unk>"}}, f)
    with open(f"{folder}/tokenizer_config.json", "w") as f:
        json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>", "bos_token": "<s>",
                   "eos_token": "</s>", "model_max_length": 1 << 20, "clean_up_tokenization_spaces": False,
                   "chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}"}, f)
