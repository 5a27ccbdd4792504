"""Makes a golden: what mlx_lm.convert makes of synthetic bytes.

usage: make_golden.py CONFIG.json... -o DIR

Each CONFIG.json is a config.json, or {"config", "source"} where the hub's tensors
are not those of the hf layout in plain floats (packed experts). Writes DIR/NAME.json
as registry/arch/testdata/goldens/README.md describes, from this machine's mlx_lm."""
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import mlx.core as mx
import mlx_lm

import checkpoints
import convert


def source_of(config):
    """The hf layout's tensors, in the dtype that config.json names."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
        f.write(json.dumps(config))
        f.flush()
        out = subprocess.check_output([os.environ.get("WREG", "wreg"), "arch", "show", config["model_type"], "--config", f.name, "--layout", "hf", "--json"])
    plain = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}[config["torch_dtype"]]
    rows = [r for r in json.loads(out)["rows"] if not r["optional"]]
    return [{"name": r["path"], "dtype": (r["dtype"] or plain).upper(), "shape": r["shape"]} for r in sorted(rows, key=lambda r: r["path"])]


def golden(config, source, seed=0):
    mx.set_default_device(mx.cpu)
    with tempfile.TemporaryDirectory() as folder:
        checkpoints.write(f"{folder}/m", source, config, seed)
        mlx_lm.convert(f"{folder}/m", f"{folder}/out")
        made = {name: {"dtype": d, "shape": s, "sha256": hashlib.sha256(b).hexdigest()} for name, (d, s, b) in sorted(convert.tensors(f"{folder}/out").items())}
        quantization = json.loads(Path(folder, "out/config.json").read_text()).get("quantization")
    return {"model_type": config["model_type"], "config": config, "seed": seed, "source": source,
            "variants": [{"flags": {}, "tensors": made, "quantization": quantization}]}


def main():
    out = sys.argv[sys.argv.index("-o") + 1]
    for path in sys.argv[1 : sys.argv.index("-o")]:
        case = json.loads(Path(path).read_text())
        config = case.get("config", case)
        text = golden(config, case.get("source") or source_of(config))
        Path(out, os.path.basename(path)).write_text(json.dumps(text, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
