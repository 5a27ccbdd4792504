"""Every architecture against mlx_lm itself: the mlx side of each .arch is what the
module expects, and a checkpoint in the hub's layout, exported, loads strictly."""
import json
import pkgutil
from pathlib import Path

import expected_params  # first: it lets every module be imported
import mlx_lm.models
from mlx_lm.utils import MODEL_REMAPPING, load_model

MLX = Path(__file__).parent.parent / "registry/arch/testdata/mlx"

# Modules whose checkpoints exist in the mlx layout only: wreg says so instead
# (docs/architectures.md).
REFUSED = ["prism_hadamard_qwen35"]


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


check_expects.cases = sorted(p.stem for p in MLX.glob("*.json") if p.stem not in REFUSED)


def check_refuses(folder, wreg, name):
    wreg("arch", "show", name, "--config", config_file(folder, name), "--layout", "mlx", status=2)


check_refuses.cases = REFUSED


def check_loads(folder, wreg, name):
    wreg("synth", "--config", config_file(folder, name), "--out", f"{folder}/m")
    wreg("ingest", f"{folder}/m")
    wreg("export", "m", "--out", f"{folder}/out", "--no-register")
    load_model(Path(f"{folder}/out"), lazy=True, strict=True)


def config_file(folder, name):
    config = json.loads((MLX / f"{name}.json").read_text())["config"]
    config.setdefault("torch_dtype", "bfloat16")
    path = Path(folder, "config.json")
    path.write_text(json.dumps(config))
    return str(path)


check_loads.cases = sorted(p.stem for p in MLX.glob("*.json") if "+" not in p.stem and p.stem not in REFUSED)
