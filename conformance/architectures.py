"""Every architecture against mlx_lm itself: the mlx side of each .arch is what the
module expects, and a checkpoint in the hub's layout, exported, loads strictly."""
import json
import pkgutil
import struct
from pathlib import Path

import expected_params  # first: it lets every module be imported
import config_keys
import convert
import mlx_lm
import mlx_lm.models
from mlx_lm.utils import MODEL_REMAPPING, load_model

MLX = Path(__file__).parent.parent / "registry/arch/testdata/mlx"

# What mlx_lm.convert cannot be asked about, and why.
NOT_CONVERTED = {
    "kimi_vl": "mlx_lm leaves kv_b_proj whole and refuses every raw checkpoint",
    "lfm2-vl": "mlx_lm does not know the hub's names",
    "gemma3n": "transformers refuses the config when it looks for a tokenizer",
    "phixtral": "transformers wants this model_type's own tokenizer files",
    "prism_hadamard_qwen35": "total_parameters in the index counts the codes of a rotated module as if they were sixteen times as many words",
}


def check_complete(folder, wreg):
    """Every module of mlx_lm, and every model_type it renames, has an architecture
    that was asked here."""
    modules = {m.name for m in pkgutil.iter_modules(mlx_lm.models.__path__)
               if "class Model(" in Path(mlx_lm.models.__path__[0], m.name + ".py").read_text()}
    served = set()
    for row in json.loads(wreg("arch", "ls", "--json"))["rows"]:
        served |= {row["arch"], *row["aliases"].replace(",", " ").split()}
    want = modules | set(MODEL_REMAPPING)
    assert want <= served, f"no architecture for {sorted(want - served)}"
    asked = {json.loads(p.read_text())["config"]["model_type"] for p in MLX.glob("*.json")}
    asked |= {MODEL_REMAPPING.get(m, m) for m in asked}
    assert modules <= asked, f"mlx_lm was not asked about {sorted(modules - asked)}"


def check_expects(folder, wreg, name):
    config = json.loads((MLX / f"{name}.json").read_text())["config"]
    Path(folder, "config.json").write_text(json.dumps(config))
    want = [(r["name"], r["shape"]) for r in expected_params.expected(config)]
    rows = json.loads(wreg("arch", "show", config["model_type"], "--config", f"{folder}/config.json", "--layout", "mlx", "--json"))["rows"]
    names = {n for n, _ in want}  # what is optional is there or not as the checkpoint has it
    got = [(r["path"], r["shape"]) for r in rows if not r["optional"] or r["path"] in names]
    assert got == want, f"wreg {[g for g in got if g not in want][:4]}, mlx_lm {[w for w in want if w not in got][:4]}, or the order differs"


check_expects.cases = sorted(p.stem for p in MLX.glob("*.json"))


def check_loads(folder, wreg, name):
    """In the hub's layout, exported, it loads strictly, and is what mlx_lm.convert
    makes of it, where that can."""
    wreg("synth", "--config", config_file(folder, name), "--out", f"{folder}/m")
    if name.startswith("prism"):
        signs(f"{folder}/m")
    wreg("ingest", f"{folder}/m")
    wreg("export", "m", "--out", f"{folder}/out", "--no-register")
    load_model(Path(f"{folder}/out"), lazy=True, strict=True)
    if name not in NOT_CONVERTED:
        mlx_lm.convert(f"{folder}/m", f"{folder}/theirs")
        convert.same_folder(f"{folder}/out", f"{folder}/theirs")


def check_required_keys(folder, wreg):
    """What mlx_lm requires of a config.json is what export/mlxconfig/keys.txt says."""
    ours = (MLX.parents[3] / "export/mlxconfig/keys.txt").read_text().strip().splitlines()
    theirs = config_keys.table().splitlines()
    assert ours == theirs, [line for line in theirs if line not in ours][:4]


# What transformers 5 saves, by model_type: keys that are taken out, and those it has instead.
TRANSFORMERS_5 = {
    "exaone4": (["rope_scaling"], {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}),
    "glm4_moe": (["rope_scaling"], {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}}),
    "gpt_neox": (["rotary_pct", "rotary_emb_base"], {"partial_rotary_factor": 0.25, "rope_theta": 10000.0}),
    "mellum": (["num_experts"], {"num_local_experts": None}),
    "olmo3": (["rope_theta"], {"rope_parameters": {kind: {"rope_type": "default", "rope_theta": 500000.0} for kind in ("full_attention", "sliding_attention")}}),
    "qwen3_moe": (["num_experts"], {"num_local_experts": None}),
}


def check_transformers_5(folder, wreg, name):
    """What transformers 5 names otherwise is exported with the keys that mlx_lm requires."""
    config = json.loads(Path(config_file(folder, name)).read_text())
    out, instead = TRANSFORMERS_5[name]
    taken = [config.pop(key, None) for key in out]
    config |= {k: taken[0] if v is None else v for k, v in instead.items()}
    Path(folder, "config.json").write_text(json.dumps(config))
    wreg("synth", "--config", f"{folder}/config.json", "--out", f"{folder}/m")
    try:
        load_model(Path(f"{folder}/m"), lazy=True, strict=False)
    except TypeError:
        pass
    else:
        raise AssertionError("mlx_lm does not need them")
    wreg("ingest", f"{folder}/m")
    wreg("export", "m", "--out", f"{folder}/out", "--no-register")
    load_model(Path(f"{folder}/out"), lazy=True, strict=True)


check_transformers_5.cases = sorted(TRANSFORMERS_5)


def signs(folder):
    """A pack's vectors of signs hold 1 and -1: mlx_lm looks."""
    for file in Path(folder).glob("*.safetensors"):
        data = bytearray(file.read_bytes())
        (n,) = struct.unpack("<Q", data[:8])
        for path, t in json.loads(data[8:8 + n]).items():
            if path.endswith(".signs"):
                assert t["dtype"] == "BF16"
                a, b = (8 + n + o for o in t["data_offsets"])
                data[a:b] = b"\x80\x3f\x80\xbf" * ((b - a) // 4)
        file.write_bytes(data)


def config_file(folder, name):
    config = json.loads((MLX / f"{name}.json").read_text())["config"]
    config.setdefault("torch_dtype", "bfloat16")
    # synth writes floats: a config that claims codes would be reported, and its block
    # left out, where mlx_lm.convert keeps it. gpt_oss names codes and synth makes them.
    if config.get("quantization_config", {}).get("quant_method") != "mxfp4":
        config.pop("quantization_config", None)
    path = Path(folder, "config.json")
    path.write_text(json.dumps(config))
    return str(path)


check_loads.cases = sorted(p.stem for p in MLX.glob("*.json") if "+" not in p.stem)
